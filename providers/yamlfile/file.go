package yamlfile

import (
	"context"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/local"
)

// File takes secrets from a YAML file.
//
// Each secret's origin is its line, such as "yaml config.yaml:7". Names that
// start with SATCHEL_ are left out.
//
// Fetch reads the file each time, a mebibyte at most. It opens only a regular
// file, or one that symbolic links lead to. The error is permanent if somebody
// has to act: the file is missing, may not be read, is no regular file, or is
// refused for what it holds. Other failures to read may go away.
//
// File is a [bundle.Waiter]: an edit arrives in a second or two.
type File struct {
	// Path is the file. Required.
	Path string
	// Section is the key at the top of the file under which the secrets are.
	// The file must then have it; its other keys may hold anything. Default:
	// the secrets are at the top.
	Section string
	// Optional makes a file that does not exist an empty one. Default: false.
	Optional bool
}

var _ bundle.Waiter = (*File)(nil)

// Fetch implements [bundle.Provider].
func (f *File) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.Path == "" {
		return nil, local.Permanent(&bundle.Fault{Problem: "yamlfile.File has no {yamlfile.File.Path}", Setting: "yamlfile.File.Path", Fix: `write {yamlfile.File.Path}: "config.yaml"`})
	}
	src, err := local.ReadFile(f.Path, f.Optional, "yamlfile.File.Optional")
	if err != nil {
		return nil, err
	}
	var secrets []bundle.Secret
	if src != nil { // else there is no file
		if secrets, err = parse(f.Path, f.Section, src); err != nil {
			return nil, local.Permanent(err)
		}
	}
	return local.Bundle(last, secrets, nil)
}

// Wait implements [bundle.Waiter]. It looks at the path once a second, and so
// sees an edit, another file or symbolic link in its place, a file that goes and
// one that appears. It reads a file only when it looks different and has stopped
// changing for a tenth of a second.
//
// A file that becomes unusable ends it with the error of Fetch. If it was so at
// first, Wait goes on until it can be used, and then returns what it holds, even
// if that is last.
func (f *File) Wait(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	return local.Wait(ctx, f.Path, last, f.Fetch)
}

// String returns "yaml" and the path, such as "yaml config.yaml".
func (f *File) String() string { return "yaml " + f.Path }
