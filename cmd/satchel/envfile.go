package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
)

// Names of the runner's two lines.
const (
	urlName   = "SATCHEL_API_URL"
	tokenName = "SATCHEL_RUNNER_TOKEN"
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
	return nil
}
