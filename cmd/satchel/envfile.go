package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
)

// Names of the runner's own two lines.
const (
	urlName   = "SATCHEL_API_URL"
	tokenName = "SATCHEL_RUNNER_TOKEN"
)

// envFile is a .env as it was read.
type envFile struct {
	path    string
	src     []byte
	entries []dotenv.Entry
}

// readEnvFile reads a .env. One that does not exist is empty.
func readEnvFile(path string) (*envFile, error) { return parseEnvFile(path, dotenv.Parse) }

// readRepeats is readEnvFile where a name may be there more than once.
func readRepeats(path string) (*envFile, error) { return parseEnvFile(path, dotenv.ParseRepeats) }

func parseEnvFile(path string, parse func(string, []byte) ([]dotenv.Entry, error)) (*envFile, error) {
	src, err := readFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries, err := parse(path, src)
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

// own returns the value of one of the runner's two lines, from the environment or
// from the file. There it may be more than once, with one value.
func (f *envFile) own(name string) (bundle.Value, error) {
	if text, ok := os.LookupEnv(name); ok {
		return bundle.NewValue(text), nil
	}
	var found *dotenv.Entry
	for _, e := range f.entries {
		switch {
		case e.Name != name:
		case found == nil:
			found = &e
		case !e.Value.Equal(found.Value):
			return bundle.Value{}, fmt.Errorf("%s:%d: %s is set a second time, after line %d, to another value; remove the wrong one", f.path, e.Line, name, found.Line)
		}
	}
	if found == nil {
		return bundle.Value{}, fmt.Errorf("%s is not set; write it into the environment or %s", name, f.path)
	}
	return found.Value, nil
}

// write sets the entries in the file, for its owner alone.
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
