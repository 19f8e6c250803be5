package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/satchelhq/satchel/internal/atomicfile"
)

// createOnce makes a file that is either not there or complete: write writes it
// under another name, which becomes path unless somebody else was first. It
// reports whether this call made it.
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

// makePrivate makes an empty file that only its owner can read, if there is none.
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

// readPrivate reads a small file with a secret in it, without the line break at
// its end.
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
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others than its owner: chmod 600 it", path)
	}
	content, err := io.ReadAll(io.LimitReader(file, 64<<10))
	return strings.TrimRight(string(content), "\r\n"), err
}

// keeps reports whether a file can be read twice: what comes through a pipe is for
// the one who uses it.
func keeps(path string) bool {
	if path == "" {
		return false
	}
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular()
}

// writable returns nil if there is a regular file that can be read and written.
func writable(path string) error {
	info, err := os.Stat(path) // before it is opened: to open a pipe is to wait
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
