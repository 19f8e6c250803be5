package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
)

// Names of the runner's lines: the URL, and the token or the file that has it.
const (
	urlName       = "SATCHEL_API_URL"
	tokenName     = "SATCHEL_RUNNER_TOKEN"
	tokenFileName = "SATCHEL_TOKEN_FILE"
)

// envFile is the content of a .env file.
type envFile struct {
	path    string
	src     []byte
	entries []dotenv.Entry
}

// readEnvFile reads a .env file. A file that does not exist counts as empty.
func readEnvFile(path string) (*envFile, error) {
	src, err := readFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries, err := dotenv.Parse(path, src)
	if err != nil {
		return nil, err
	}
	return &envFile{path, src, entries}, nil
}

// get returns the value of a name.
func (f *envFile) get(name string) (bundle.Value, bool) {
	for _, e := range f.entries {
		if e.Name == name {
			return e.Value, true
		}
	}
	return bundle.Value{}, false
}

// write sets the entries in the file, which only its owner can read.
func (f *envFile) write(entries ...dotenv.Entry) error {
	content := f.src
	var err error
	for _, e := range entries {
		if err == nil {
			content, err = dotenv.Set(content, e.Name, e.Value)
		}
	}
	if err == nil {
		err = replaceFile(f.path, content, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	f.src = content
	return nil
}

// tokenPath returns the path of the file that has the token, or "" if .env names none.
func (f *envFile) tokenPath() string {
	named, _ := f.get(tokenFileName)
	path := named.Reveal()
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.path), path)
}

// token returns the runner's token, or the zero Value if there is none.
func (f *envFile) token() (bundle.Value, error) {
	path := f.tokenPath()
	if path == "" {
		token, _ := f.get(tokenName)
		return token, nil
	}
	src, err := readFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bundle.Value{}, err
	}
	return bundle.NewValue(strings.TrimSpace(string(src))), nil
}

// setToken writes the runner's token to the place that it is read from, and returns the
// path.
func (f *envFile) setToken(token bundle.Value) (path string, err error) {
	path = f.tokenPath()
	if path == "" {
		return f.path, f.write(dotenv.Entry{Name: tokenName, Value: token})
	}
	if err := replaceFile(path, []byte(token.Reveal()+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	return path, nil
}
