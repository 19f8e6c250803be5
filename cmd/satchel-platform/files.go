package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/satchelhq/satchel/internal/atomicfile"
	"github.com/satchelhq/satchel/internal/regularfile"
)

// createOnce creates a file that is either missing or complete. write writes a draft,
// which becomes path unless path exists by then. made reports whether this call created
// it.
func createOnce(path string, write func(draft string) error) (made bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, err
	}
	draft := path + "." + rand.Text()
	defer func() { _ = os.Remove(draft) }()
	if err := write(draft); err != nil {
		return false, err
	}
	err = os.Link(draft, path)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	atomicfile.SyncFolder(filepath.Dir(path))
	return true, nil
}

// makePrivate creates an empty file that only its owner can read, unless it exists.
func makePrivate(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// readPrivate reads a secret from a small file or a pipe, without the final line break.
// It fails if other users can access the file, or if it belongs to one.
func readPrivate(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if err := regularfile.CheckPrivate(path, info); err != nil {
		return "", err
	}
	content, err := io.ReadAll(io.LimitReader(file, 64<<10))
	return strings.TrimRight(string(content), "\r\n"), err
}

// keeps reports whether inspect may read the file of a setting: a regular one, or a
// missing one, for the error. The content of a pipe can be read once, by the command
// itself.
func keeps(path string) bool {
	if path == "" {
		return false
	}
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular()
}

// writable returns nil if path is a regular file that can be read and written.
func writable(path string) error {
	info, err := os.Stat(path) // first, because opening a pipe blocks
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return file.Close()
}
