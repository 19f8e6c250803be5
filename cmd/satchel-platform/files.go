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

const tokenRule = "want 32 to 512 printable ASCII characters without spaces; one that is made for you is best"

// usableToken reports whether a token of administrators is long enough, and can
// be in a header.
func usableToken(token string) bool {
	unusual := func(r rune) bool { return r <= ' ' || r > '~' }
	return len(token) >= 32 && len(token) <= 512 && !strings.ContainsFunc(token, unusual)
}

// loadAdminToken returns the administrators' token, and the file that it made
// for it, if it did.
func (c *config) loadAdminToken() (token, made string, err error) {
	if c.adminToken != "" {
		return c.adminToken, "", nil
	}
	if _, err := os.Stat(c.adminTokenFile); errors.Is(err, fs.ErrNotExist) {
		isMine, err := createOnce(c.adminTokenFile, func(draft string) error {
			return atomicfile.Create(draft, []byte(rand.Text()+rand.Text()+"\n"))
		})
		if err != nil {
			return "", "", fmt.Errorf("-admin-token-file: %w", err)
		}
		if isMine {
			made = c.adminTokenFile
		}
	}
	token, err = c.readAdminToken()
	return token, made, err
}

// readAdminToken returns the token in the file.
func (c *config) readAdminToken() (string, error) {
	token, err := readPrivate(c.adminTokenFile)
	if err == nil && !usableToken(token) {
		err = fmt.Errorf("%s: %s", c.adminTokenFile, tokenRule)
	}
	if err != nil {
		return "", fmt.Errorf("-admin-token-file: %w", err)
	}
	return token, nil
}
