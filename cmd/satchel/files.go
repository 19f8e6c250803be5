package main

import (
	"bytes"
	"io/fs"
	"os"

	"github.com/satchelhq/satchel/internal/atomicfile"
	"github.com/satchelhq/satchel/internal/regularfile"
)

// maxFile is the largest size of the runner's files, in bytes.
const maxFile = 1 << 20

// readFile reads one of the runner's files. It fails for files that are not regular
// or larger than maxFile.
func readFile(path string) ([]byte, error) { return regularfile.Read(path, maxFile) }

// replaceFile is [atomicfile.Replace]. If the file already has the content, only its
// mode is set.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	if old, err := readFile(path); err == nil && bytes.Equal(old, content) {
		return os.Chmod(path, mode)
	}
	return atomicfile.Replace(path, content, &atomicfile.ReplaceOptions{Mode: mode})
}
