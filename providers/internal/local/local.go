// Package local is shared by the providers of local values: reading files, waiting
// for changes, and omitting the runner's own settings.
package local

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/regularfile"
)

// MaxSize is the maximum size of a file, in bytes.
const MaxSize = 1 << 20

// reserved is the prefix of the runner's own settings, such as its token, which are
// often in the same file as its secrets.
const reserved = "SATCHEL_"

// Bundle returns a bundle of the secrets without names that start with SATCHEL_, or
// last itself if it is equal. last and meta may be nil. Its error is a permanent
// [*bundle.FetchError].
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

// ReadFile returns the content of a regular file, and follows symbolic links. It opens
// nothing else, because a pipe could block. If optional, it returns nil for a missing
// file. setting is the name of the optional field for the advice in errors, or empty.
//
// Errors are a [*bundle.FetchError]: permanent for a missing, unreadable, irregular or
// too large file and for a path that leads to none, and otherwise unavailable.
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

// ReadPrivate is ReadFile for a required file with a credential of at most limit
// bytes. It is permanent too if other users have access to the file.
func ReadPrivate(path string, limit int) ([]byte, error) {
	content, err := regularfile.ReadPrivate(path, limit)
	if err != nil {
		return nil, classed(err, "")
	}
	return content, nil
}

// classed returns a read error with its kind and a fix.
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
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return Permanent(&bundle.Fault{Err: err, Fix: "check the path, and the links on it"})
	}
	return &bundle.FetchError{Kind: bundle.FetchUnavailable, Err: err}
}

// Permanent wraps err in a [*bundle.FetchError] of the kind permanent.
func Permanent(err error) error {
	return &bundle.FetchError{Kind: bundle.FetchPermanent, Err: err}
}
