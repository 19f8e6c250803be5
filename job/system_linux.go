package job

import (
	"os"

	"golang.org/x/sys/unix"
)

// memoryPlaces returns directories for private files that are never written to a
// disk.
func memoryPlaces() []string {
	var places []string
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/dev/shm"} {
		var fs unix.Statfs_t
		if dir != "" && unix.Statfs(dir, &fs) == nil && int64(fs.Type) == unix.TMPFS_MAGIC { //nolint:unconvert // Type is an int32 on some systems
			places = append(places, dir)
		}
	}
	return places
}

// systemLimits returns those of execve(2): a quarter of the stack, but not less
// than 128 KiB and not more than 6 MiB.
func systemLimits() execLimits {
	stack := unix.Rlimit{Cur: 8 << 20}
	_ = unix.Getrlimit(unix.RLIMIT_STACK, &stack) // the usual limit, where there is no answer
	total := max(min(stack.Cur/4, 6<<20), 128<<10)
	return execLimits{variable: maxVariable, total: int(total), each: pointerSize}
}
