package main

import (
	"bytes"
	"io/fs"
	"os"

	"github.com/satchelhq/satchel/internal/atomicfile"
	"github.com/satchelhq/satchel/internal/regularfile"
)

// maxFile is the size of the longest file of the runner's that is read, in
// bytes.
const maxFile = 1 << 20

// readFile returns the content of a file of the runner's.
func readFile(path string) ([]byte, error) { return regularfile.Read(path, maxFile) }

// replaceFile is [atomicfile.Replace], unless the file has the content already.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	if old, err := readFile(path); err == nil && bytes.Equal(old, content) {
		return os.Chmod(path, mode)
	}
	return atomicfile.Replace(path, content, &atomicfile.ReplaceOptions{Mode: mode})
}
