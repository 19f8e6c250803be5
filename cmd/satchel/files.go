package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/satchelhq/satchel/internal/atomicfile"
)

// maxFile is the size of the longest file of the runner's that is read, in
// bytes.
const maxFile = 1 << 20

// readFile returns the content of a regular file, or of the one that symbolic
// links lead to. It opens nothing else: a pipe could block.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(path, info); err != nil {
		return nil, err
	}
	// Another file may be there by now.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, err
	}
	if err := checkRegular(path, info); err != nil {
		return nil, err
	}
	src, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(src) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes, which is the limit; is it the right file?", path, maxFile)
	}
	return src, err
}

func checkRegular(path string, info fs.FileInfo) error {
	what := "something else"
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		what = "a directory"
	case info.Mode()&fs.ModeNamedPipe != 0:
		what = "a pipe"
	}
	return fmt.Errorf("%s is %s; want a regular file", path, what)
}

// replaceFile is [atomicfile.Replace], unless the file has the content already.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	if old, err := readFile(path); err == nil && bytes.Equal(old, content) {
		return os.Chmod(path, mode)
	}
	return atomicfile.Replace(path, content, &atomicfile.ReplaceOptions{Mode: mode})
}
