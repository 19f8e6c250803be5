package providers

import (
	"context"
	"fmt"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
	"github.com/satchelhq/satchel/providers/internal/local"
)

// Dotenv reads secrets from a .env file, in the dialect of package [dotenv].
//
//	&providers.Dotenv{Path: ".env", Optional: true}
//
// Each secret's origin is its line, such as "dotenv .env:12". Names that start
// with SATCHEL_ are omitted.
//
// Each Fetch reads the file, up to 1 MiB. It opens regular files only and
// follows symbolic links. Every error except the context's is a
// [*bundle.FetchError]: permanent if the file is missing, unreadable, not regular,
// too large or malformed (a [*dotenv.SyntaxError]), and otherwise unavailable.
//
// Dotenv is a [bundle.Waiter]: an edit arrives within a second or two. It is
// safe for concurrent use; its fields must not change after the first use.
type Dotenv struct {
	// Path is the path of the file. Required.
	Path string
	// Optional treats a missing file as empty. Default: false, a missing file is
	// an error.
	Optional bool

	watch local.Watch
}

var _ bundle.Waiter = (*Dotenv)(nil)

// Fetch implements [bundle.Provider]: it reads the file, and returns last itself
// if the secrets are equal.
func (d *Dotenv) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	return d.watch.Fetch(ctx, last, d.fetch)
}

func (d *Dotenv) fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.Path == "" {
		return nil, local.Permanent(&bundle.Fault{Problem: "providers.Dotenv has no {providers.Dotenv.Path}", Setting: "providers.Dotenv.Path", Fix: `write {providers.Dotenv.Path}: ".env"`})
	}
	src, err := local.ReadFile(d.Path, d.Optional, "providers.Dotenv.Optional")
	if err != nil {
		return nil, err
	}
	entries, err := dotenv.Parse(d.Path, src)
	if err != nil {
		return nil, local.Permanent(err)
	}
	var secrets []bundle.Secret
	for _, e := range entries {
		secrets = append(secrets, bundle.Secret{
			Name:    e.Name,
			Value:   e.Value,
			Origin:  bundle.Origin{Provider: "dotenv", Location: fmt.Sprintf("%s:%d", d.Path, e.Line)},
			Literal: e.Literal,
		})
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
func (d *Dotenv) Wait(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	return d.watch.Wait(ctx, d.Path, last, d.fetch)
}

// String returns "dotenv" and the path, such as "dotenv .env".
func (d *Dotenv) String() string { return "dotenv " + d.Path }
