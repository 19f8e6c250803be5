package audit

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

const (
	// reserveSize is the disk space that reserve reserves: more than the entries of
	// a write need.
	reserveSize = 64 << 10

	keepSize = 1 // FALLOC_FL_KEEP_SIZE
)

// reserve reserves disk space behind the end of file, for the next lines. It fails if
// there is none, or if they would exceed the process's limit for the size of files.
func reserve(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err == nil && uint64(info.Size())+reserveSize > limit.Cur {
		return fmt.Errorf("the process may not write files above %d bytes: %w", limit.Cur, syscall.EFBIG)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for failed = syscall.EINTR; failed == syscall.EINTR; {
			failed = syscall.Fallocate(int(fd), keepSize, info.Size(), reserveSize)
		}
	})
	if errors.Is(failed, errors.ErrUnsupported) { // by this file system
		failed = nil
	}
	if failed != nil {
		return fmt.Errorf("reserving disk space: %w", failed)
	}
	return err
}

// deleted reports whether file no longer has a name.
func deleted(file *os.File) bool {
	info, err := file.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0
}
