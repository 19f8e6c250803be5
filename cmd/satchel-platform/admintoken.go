package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/satchelhq/satchel/internal/atomicfile"
)

const tokenRule = "want 32 to 512 printable ASCII characters without spaces; a generated token is best"

// usableToken reports whether an administrators' token is long enough and valid in a
// header.
func usableToken(token string) bool {
	unusual := func(r rune) bool { return r <= ' ' || r > '~' }
	return len(token) >= 32 && len(token) <= 512 && !strings.ContainsFunc(token, unusual)
}

// loadAdminToken returns the administrators' token. If it created the file with the
// token, made is its path.
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

// readAdminToken reads the token from its file.
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
