// Package local holds what the providers of local values share: how they read
// a file, and what they leave out.
package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/satchelhq/satchel/bundle"
)

// MaxSize is the size of the longest file that is read, in bytes.
const MaxSize = 1 << 20

// reserved starts the names of the runner's own settings, such as its token,
// which usually stand in the same file as its secrets.
const reserved = "SATCHEL_"

// Bundle returns a bundle of the secrets, without those whose names start with
// SATCHEL_, or last itself if it is equal. last may be nil.
func Bundle(last *bundle.Bundle, secrets []bundle.Secret, meta *bundle.Meta) (*bundle.Bundle, error) {
	kept := slices.DeleteFunc(slices.Clone(secrets), func(s bundle.Secret) bool {
		return strings.HasPrefix(s.Name, reserved)
	})
	b, err := bundle.New(kept, meta)
	if err != nil {
		return nil, Permanent(err)
	}
	if last != nil && b.Equal(last) {
		return last, nil
	}
	return b, nil
}

// ReadFile returns the content of a regular file, or of the one that symbolic
// links lead to. It opens nothing else: a pipe could block. A file that does
// not exist is empty if optional says so. setting is the field that says it, for
// errors, or empty.
//
// Errors are a [*bundle.FetchError], permanent where somebody has to act.
func ReadFile(path string, optional bool, setting string) ([]byte, error) {
	src, err := read(path)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, classed(err, setting)
	case len(src) > MaxSize:
		return nil, Permanent(&bundle.Fault{Problem: fmt.Sprintf("%s has more than %d bytes, which is the limit", path, MaxSize), Fix: "is it the right file?"})
	}
	return src, nil
}

// classed says of an error of read whether somebody has to act, and how.
func classed(err error, setting string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		missing := &bundle.Fault{Err: err, Setting: setting, Fix: "create the file"}
		if setting != "" {
			missing.Or = "set {" + setting + "}"
		}
		return Permanent(missing)
	case errors.Is(err, fs.ErrPermission):
		return Permanent(&bundle.Fault{Err: err, Fix: "let the user that runs this program read the file"})
	case errors.Is(err, errNotRegular):
		return Permanent(err)
	}
	return &bundle.FetchError{Kind: bundle.FetchUnavailable, Err: err}
}

// read returns at most one byte more than may be read.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(path, info); err != nil {
		return nil, err
	}
	// Another file may be there by now: a pipe must neither block nor be read.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if err := checkRegular(path, info); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, MaxSize+1))
}

var errNotRegular = errors.New("want a regular file")

func checkRegular(path string, info fs.FileInfo) error {
	what := "something else"
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		what = "a directory"
	case info.Mode()&fs.ModeNamedPipe != 0:
		what = "a pipe"
	}
	return fmt.Errorf("%s is %s; %w", path, what, errNotRegular)
}

// Permanent returns err as one that needs somebody to act.
func Permanent(err error) error {
	return &bundle.FetchError{Kind: bundle.FetchPermanent, Err: err}
}
