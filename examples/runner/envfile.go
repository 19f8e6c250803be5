package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

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

// with returns the content of the file with the entries in it: in the place of
// those of the same names, or at the end. All other lines stay as they are.
func (f *envFile) with(entries ...dotenv.Entry) ([]byte, error) {
	lines := slices.Collect(bytes.Lines(f.src))
	var added []dotenv.Entry
	for _, e := range entries {
		at := slices.IndexFunc(f.entries, func(old dotenv.Entry) bool { return old.Name == e.Name })
		if at < 0 {
			added = append(added, e)
			continue
		}
		text, err := dotenv.Append(nil, e)
		if err != nil {
			return nil, err
		}
		old := f.entries[at]
		if old.Line == 1 && bytes.HasPrefix(f.src, []byte("\ufeff")) {
			text = append([]byte("\ufeff"), text...)
		}
		if bytes.HasSuffix(lines[old.EndLine-1], []byte("\r\n")) {
			text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		}
		lines[old.Line-1] = text
		for i := old.Line; i < old.EndLine; i++ {
			lines[i] = nil // the rest of an entry of several lines
		}
	}
	kept := bytes.Join(lines, nil)
	all, err := dotenv.Append(kept, added...)
	if err != nil || !bytes.Contains(f.src, []byte("\r\n")) {
		return all, err
	}
	return append(slices.Clip(kept), bytes.ReplaceAll(all[len(kept):], []byte("\n"), []byte("\r\n"))...), nil
}

// write puts the entries into the file, for its owner alone.
func (f *envFile) write(entries ...dotenv.Entry) error {
	content, err := f.with(entries...)
	if err == nil {
		err = replaceFile(f.path, content, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	return nil
}
