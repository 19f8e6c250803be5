package yamlfile

import (
	"context"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/local"
)

// File reads secrets from a YAML file, as the package comment describes.
//
// Each secret's origin is its line, such as "yaml config.yaml:7". Names that
// start with SATCHEL_ are omitted.
//
// Each Fetch reads the file, up to 1 MiB. It opens regular files only and follows
// symbolic links. Errors are a [*bundle.FetchError], permanent if the file is
// missing, not readable, not regular, too large or invalid, and otherwise
// unavailable.
//
// File is a [bundle.Waiter]: an edit arrives within a second or two. It is safe
// for concurrent use; its fields must not change after the first use.
type File struct {
	// Path is the path of the file. Required.
	Path string
	// Section is the top-level key whose value has the secrets. An existing
	// file must have it; other keys may have any value. Default: empty, the
	// secrets are at the top level.
	Section string
	// Optional treats a missing file as empty. Default: false, a missing file is
	// an error.
	Optional bool

	watch local.Watch
}

var _ bundle.Waiter = (*File)(nil)

// Fetch implements [bundle.Provider]: it reads the file, and returns last itself
// if the secrets are equal.
func (f *File) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	return f.watch.Fetch(ctx, last, f.fetch)
}

func (f *File) fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
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

// Wait implements [bundle.Waiter]. It reads the file, which may have changed since
// last was fetched, and then checks the path once per second. It detects an edit, a
// replaced file or symbolic link, and a file that is removed or created. It reads
// the file again only if its metadata changed, and only after it has been stable for
// 100 ms.
//
// If the file is or becomes unusable, Wait returns Fetch's error. If Fetch or Wait
// has already returned such an error for last, Wait blocks until the file is usable
// and then returns its bundle, even if that is last.
func (f *File) Wait(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	return f.watch.Wait(ctx, f.Path, last, f.fetch)
}

// String returns "yaml" and the path, such as "yaml config.yaml".
func (f *File) String() string { return "yaml " + f.Path }
