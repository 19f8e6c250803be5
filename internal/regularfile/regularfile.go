// Package regularfile reads files whose path a user gives: settings and local
// secrets. What such a path leads to can be anything, so [Read] opens regular files
// only, and reads no more than its limit.
package regularfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/satchelhq/satchel/bundle"
)

// Read returns the content of a regular file, or of the one that symbolic links
// lead to. It opens nothing else: a pipe could block. limit is the size of the
// longest file that is read, in bytes.
//
// The error is a [*bundle.Fault] if the file is not regular or is too long, and else
// that of the system.
func Read(path string, limit int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := check(path, info); err != nil {
		return nil, err
	}
	// Another file may be there by now: a pipe must neither block nor be read.
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
		return nil, &bundle.Fault{Problem: fmt.Sprintf("%s has more than %d bytes, which is the limit", path, limit), Fix: "is it the right file?"}
	}
	return content, err
}

// check refuses all but regular files.
func check(path string, info fs.FileInfo) error {
	kind := "something else"
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		kind = "a directory"
	case info.Mode()&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	}
	return &bundle.Fault{Problem: path + " is " + kind, Fix: "want a regular file"}
}
