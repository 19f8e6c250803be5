package job

import (
	"os"

	"golang.org/x/sys/unix"
)

// memoryPlaces returns directories in memory, for private files.
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

// systemLimits returns the limits of execve(2): a quarter of the stack limit, at
// least 128 KiB and at most 6 MiB.
func systemLimits() execLimits {
	stack := unix.Rlimit{Cur: 8 << 20}
	_ = unix.Getrlimit(unix.RLIMIT_STACK, &stack) // on failure, the usual limit
	total := max(min(stack.Cur/4, 6<<20), 128<<10)
	return execLimits{variable: maxVariable, total: int(total), each: pointerSize}
}
