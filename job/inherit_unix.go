//go:build unix

package job

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// inheritNothing makes a command start with the descriptors 0, 1 and 2 only. By default,
// it would also inherit the descriptors that this process was started with, and those
// that C code opened without close-on-exec.
//
// Each nil entry closes one descriptor in the new process. Unlike close-on-exec flags,
// that changes nothing in this process, whose other code may rely on its descriptors.
func inheritNothing(cmd *exec.Cmd) { cmd.ExtraFiles = make([]*os.File, highestDescriptor()-2) }

// maxDescriptor bounds the search for descriptors where the system does not list them.
const maxDescriptor = 1 << 20

// highestDescriptor returns the highest open descriptor of this process, at least 2.
func highestDescriptor() int {
	if list := map[string]string{"linux": "/proc/self/fd", "darwin": "/dev/fd"}[runtime.GOOS]; list != "" {
		if highest, err := highestIn(list); err == nil {
			return highest
		}
	}
	limit := unix.Rlimit{Cur: maxDescriptor} // if Getrlimit fails
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	for n := int(min(uint64(limit.Cur), maxDescriptor)) - 1; n > 2; n-- { //nolint:unconvert // signed on FreeBSD
		if _, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err == nil {
			return n
		}
	}
	return 2
}

// highestIn returns the highest number in a directory that lists descriptors.
func highestIn(list string) (int, error) {
	dir, err := os.Open(list)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	highest := 2
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			highest = max(highest, n)
		}
	}
	return highest, err
}
