package migrate

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/regularfile"
)

// maxSize is the size of the longest file that is read, in bytes.
const maxSize = 1 << 20

// File is a local file of secrets, as it was when it was read.
type File struct {
	// Path is the one that it was read from.
	Path string
	// Section is the key of a YAML file under which the entries are.
	Section string
	// Entries are in the order of the file.
	Entries []Entry

	content bundle.Value // all of the file
	parse   func(content string) ([]Entry, error)
	// cut returns the content without the lines of some entries.
	cut func(content string, gone []Entry) (string, error)
}

// Entry is a name and a value in a file.
type Entry struct {
	// Name is empty if what stands there cannot be the name of a secret. It is
	// not shown then, since it may be a part of a value.
	Name  string
	Value bundle.Value
	// Line is where the entry starts and EndLine where it ends, counted from
	// 1.
	Line, EndLine int
	// Fault says why the entry is no plain value. It is empty if it is one.
	Fault string
	// ByHand says why its lines cannot be cut out. It is empty if they can.
	ByHand string
}

// Read reads a .env file or, if the name ends in .yaml or .yml, a YAML file, a
// mebibyte at most. They are read as providers.Dotenv and yamlfile.File do,
// except that one entry which those would refuse the file for is an entry with
// a fault where that is possible. Errors name the line and hold no value.
func Read(path string) (*File, error) { return ReadSection(path, "") }

// ReadSection is Read for the entries under a key at the top of a YAML file.
func ReadSection(path, section string) (*File, error) {
	f := &File{Path: path, Section: section, cut: cutDotenv}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case ext == ".yaml" || ext == ".yml":
		f.parse, f.cut = func(content string) ([]Entry, error) { return parseYAML(path, section, content) }, cutYAML
	case section != "":
		return nil, fmt.Errorf("reading section %q of %s: only YAML files have sections, and their names end in .yaml or .yml", section, path)
	default:
		f.parse = func(content string) ([]Entry, error) { return parseDotenv(path, content) }
	}
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	f.content = bundle.NewValue(content)
	if f.Entries, err = f.parse(content); err != nil {
		return nil, err
	}
	return f, nil
}

// readFile returns the content of a file.
func readFile(path string) (string, error) {
	content, err := regularfile.Read(path, maxSize)
	return string(content), err
}

// without returns the content of the file without the lines of the entries with
// these indices. It makes sure that what is left is read as before.
func (f *File) without(cut []int) (string, error) {
	var gone []Entry
	for _, i := range cut {
		if f.Entries[i].ByHand != "" {
			return "", fmt.Errorf("%s:%d: %s", f.Path, f.Entries[i].Line, f.Entries[i].ByHand)
		}
		gone = append(gone, f.Entries[i])
	}
	out, err := f.cut(f.content.Reveal(), gone)
	if err != nil {
		return "", err
	}
	left, err := f.parse(out)
	if err != nil || !f.sameBut(cut, left) {
		return "", errors.New("without these lines, what is left of " + f.Path + " would not be read as before")
	}
	return out, nil
}

// misfits returns those of the entries with these indices that cannot be cut out
// together with the ones before them. In a .env file there are none.
func (f *File) misfits(cut []int) []int {
	if _, err := f.without(cut); err == nil {
		return nil
	}
	var fit, unfit []int
	for _, i := range cut {
		if _, err := f.without(append(slices.Clip(fit), i)); err != nil {
			unfit = append(unfit, i)
		} else {
			fit = append(fit, i)
		}
	}
	return unfit
}

// sameBut reports whether left are the entries of the file except for those
// that were cut.
func (f *File) sameBut(cut []int, left []Entry) bool {
	for i, e := range f.Entries {
		if slices.Contains(cut, i) {
			continue
		}
		if len(left) == 0 || left[0].Name != e.Name || left[0].Fault != e.Fault || !left[0].Value.Equal(e.Value) {
			return false
		}
		left = left[1:]
	}
	return len(left) == 0
}
