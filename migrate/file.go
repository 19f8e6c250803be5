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

// maxSize is the limit of a file, in bytes.
const maxSize = 1 << 20

// File is the content of a local file of secrets when it was read. It is safe for
// concurrent use if its fields do not change.
type File struct {
	// Path is the path that it was read from.
	Path string
	// Section is the top-level key of the entries in a YAML file, or empty.
	Section string
	// Entries are the entries in the order of the file.
	Entries []Entry

	content bundle.Value // all of the file
	parse   func(content string) ([]Entry, error)
	// cut returns the content without the lines of some entries.
	cut func(content string, gone []Entry) (string, error)
}

// Entry is a name and a value in a file.
type Entry struct {
	// Name is the name of the secret. It is empty if the name in the file is invalid;
	// that may be part of a value, so it is not kept.
	Name string
	// Value is the value. It is the zero Value if Fault is not empty.
	Value bundle.Value
	// Line and EndLine are the first and the last line, counted from 1.
	Line, EndLine int
	// Fault is the reason why the entry has no usable value. It is empty if it has
	// one.
	Fault string
	// ByHand is the reason why the lines of the entry cannot be removed
	// automatically. It is empty if they can.
	ByHand string

	literal bool // see [dotenv.Entry.Literal]
}

// Read reads a .env file or, if the name ends in .yaml or .yml, a YAML file. The limit
// is 1 MiB. The syntax is that of providers.Dotenv and yamlfile.File, but where those
// refuse the file because of one entry, Read returns the entry with a Fault if it can.
// Errors name the line and hold no value; they wrap those of package os.
func Read(path string) (*File, error) { return ReadSection(path, "") }

// ReadSection is [Read] for the entries under a top-level key of a YAML file. It is an
// error if the key does not exist. An empty section is the top level.
func ReadSection(path, section string) (*File, error) {
	f := &File{Path: path, Section: section, cut: cutDotenv}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case ext == ".yaml" || ext == ".yml":
		f.parse, f.cut = func(content string) ([]Entry, error) { return parseYAML(path, section, content) }, cutYAML
	case section != "":
		return nil, fmt.Errorf("reading section %q of %s: only YAML files have sections; use a name that ends in .yaml or .yml", section, path)
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
// these indices. It verifies that the other entries are read as before.
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
		return "", errors.New("without these lines, the rest of " + f.Path + " would be read differently")
	}
	return out, nil
}

// misfits returns the indices of the entries that cannot be removed together with the
// ones before them. A .env file has none.
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

// sameBut reports whether left are the entries of the file without those in cut.
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
