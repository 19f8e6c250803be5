// Package regularfile reads files whose path comes from a user: settings, keys, tokens
// and local secrets. Because such a path can lead to anything, [Read] opens only
// regular files, and reads no more than its limit. [ReadPrivate] also requires that no
// other user has access to the file.
package regularfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"github.com/satchelhq/satchel/bundle"
)

// Read returns the content of a regular file, following symbolic links. It opens
// nothing else, because a pipe could block. limit is the maximum size of the file,
// in bytes.
//
// The error is a [*bundle.Fault] if the file is not regular or is too large, and
// otherwise the error of the operating system.
func Read(path string, limit int) ([]byte, error) { return read(path, limit, check) }

// ReadPrivate is [Read] for a file with a key, a token or another credential. The error
// is also a [*bundle.Fault] if [CheckPrivate] refuses the file.
func ReadPrivate(path string, limit int) ([]byte, error) {
	return read(path, limit, func(path string, info fs.FileInfo) error {
		if err := check(path, info); err != nil {
			return err
		}
		return CheckPrivate(path, info)
	})
}

// CheckPrivate returns nil if info, of the opened file, shows that no other user can
// read or replace its content: its owner is root or the effective user of this
// process, and its mode gives no access to others. Otherwise the error is a
// [*bundle.Fault]. On Windows, which has neither, it always returns nil.
func CheckPrivate(path string, info fs.FileInfo) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	user := os.Geteuid()
	if owner, ok := ownerOf(info); ok && owner != 0 && owner != user {
		return &bundle.Fault{
			Problem: fmt.Sprintf("%s belongs to another user, with uid %d; this process has uid %d", path, owner, user),
			Fix:     fmt.Sprintf("run chown %d on it, or run this program as its owner", user),
		}
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return &bundle.Fault{
			Problem: fmt.Sprintf("%s has mode %04o, which allows access by other users", path, mode),
			Fix:     "run chmod 600 on it",
		}
	}
	return nil
}

// read is [Read] with the check of the file.
func read(path string, limit int, check func(path string, info fs.FileInfo) error) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := check(path, info); err != nil {
		return nil, err
	}
	// The file may have been replaced since: a pipe must neither block nor be read.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, err
	}
	if err := check(path, info); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, int64(limit)+1))
	if err == nil && len(content) > limit {
		return nil, &bundle.Fault{Problem: fmt.Sprintf("%s is larger than the limit of %d bytes", path, limit), Fix: "check the path"}
	}
	return content, err
}

// check returns an error for anything but a regular file.
func check(path string, info fs.FileInfo) error {
	kind := "a special file"
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		kind = "a directory"
	case info.Mode()&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	}
	return &bundle.Fault{Problem: path + " is " + kind, Fix: "use a regular file"}
}
