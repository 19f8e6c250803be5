// Package local holds what the providers of local values share: how they read
// a file, and what they leave out.
package local

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/regularfile"
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
	src, err := regularfile.Read(path, MaxSize)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, classed(err, setting)
	}
	return src, nil
}

// classed says of an error of reading whether somebody has to act, and how.
func classed(err error, setting string) error {
	_, refused := errors.AsType[*bundle.Fault](err)
	switch {
	case refused:
		return Permanent(err)
	case errors.Is(err, fs.ErrNotExist):
		missing := &bundle.Fault{Err: err, Setting: setting, Fix: "create the file"}
		if setting != "" {
			missing.Or = "set {" + setting + "}"
		}
		return Permanent(missing)
	case errors.Is(err, fs.ErrPermission):
		return Permanent(&bundle.Fault{Err: err, Fix: "give the user of this program read permission"})
	}
	return &bundle.FetchError{Kind: bundle.FetchUnavailable, Err: err}
}

// Permanent returns err as one that needs somebody to act.
func Permanent(err error) error {
	return &bundle.FetchError{Kind: bundle.FetchPermanent, Err: err}
}
