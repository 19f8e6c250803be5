// Package regularfile reads files whose path comes from a user: settings and local
// secrets. Because such a path can lead to anything, [Read] opens only regular
// files, and reads no more than its limit.
package regularfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/satchelhq/satchel/bundle"
)

// Read returns the content of a regular file, following symbolic links. It opens
// nothing else, because a pipe could block. limit is the maximum size of the file,
// in bytes.
//
// The error is a [*bundle.Fault] if the file is not regular or is too large, and
// otherwise the error of the operating system.
func Read(path string, limit int) ([]byte, error) {
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
