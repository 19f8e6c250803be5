package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/satchelhq/satchel/internal/atomicfile"
	"github.com/satchelhq/satchel/internal/wire"
)

const tokenRule = "want 32 to 512 printable ASCII characters without spaces; a generated token is best"

// checkAdminToken returns nil if an administrators' token is long enough, valid in a
// header, and cannot be taken for that of a named administrator.
func checkAdminToken(token string) error {
	unusual := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(token) < 32 || len(token) > 512 || strings.ContainsFunc(token, unusual) {
		return errors.New(tokenRule)
	}
	if strings.HasPrefix(token, wire.AdminTokenPrefix) {
		return fmt.Errorf("tokens that begin with %s belong to named administrators; use another one here, or -admin-token-file %s", wire.AdminTokenPrefix, noFile)
	}
	return nil
}

// loadAdminToken returns a function for the administrators' token, whose file is
// reloaded when it changes, or nil if there is no such token. If it created the file,
// made is its path.
func (c *config) loadAdminToken(log *slog.Logger) (token func() string, made string, err error) {
	if c.adminToken != "" {
		return func() string { return c.adminToken }, "", nil
	}
	if c.adminTokenFile == "" {
		return nil, "", nil
	}
	if _, err := os.Stat(c.adminTokenFile); errors.Is(err, fs.ErrNotExist) {
		isMine, err := createOnce(c.adminTokenFile, func(draft string) error {
			return atomicfile.Create(draft, []byte(rand.Text()+rand.Text()+"\n"))
		})
		if err != nil {
			return nil, "", fmt.Errorf("-admin-token-file: %w", err)
		}
		if isMine {
			made = c.adminTokenFile
		}
	}
	current := &reloaded[string]{setting: "-admin-token-file", files: []string{c.adminTokenFile}, log: log, load: c.readAdminToken}
	if err := current.start(); err != nil {
		return nil, made, err
	}
	return current.get, made, nil
}

// readAdminToken reads the token from its file.
func (c *config) readAdminToken() (string, error) {
	token, err := readPrivate(c.adminTokenFile)
	if err == nil {
		if err = checkAdminToken(token); err != nil {
			err = fmt.Errorf("%s: %w", c.adminTokenFile, err)
		}
	}
	if err != nil {
		return "", fmt.Errorf("-admin-token-file: %w", err)
	}
	return token, nil
}
