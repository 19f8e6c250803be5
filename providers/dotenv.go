package providers

import (
	"context"
	"fmt"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
	"github.com/satchelhq/satchel/providers/internal/local"
)

// Dotenv takes secrets from a .env file, in the dialect of package
// [dotenv].
//
//	&providers.Dotenv{Path: ".env", Optional: true}
//
// Each secret's origin is its line, such as "dotenv .env:12". Names that start
// with SATCHEL_ are left out.
//
// Fetch reads the file each time, a mebibyte at most. It opens only a regular
// file, or one that symbolic links lead to. The error is permanent if somebody
// has to act: the file is missing, may not be read or is no regular file, or
// holds a [*dotenv.SyntaxError]. Other failures to read may go away.
//
// Dotenv is a [bundle.Waiter]: an edit arrives in a second or two.
type Dotenv struct {
	// Path is the file. Required.
	Path string
	// Optional makes a file that does not exist an empty one. Default: false.
	Optional bool
}

var _ bundle.Waiter = (*Dotenv)(nil)

// Fetch implements [bundle.Provider].
func (d *Dotenv) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
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
			Name:   e.Name,
			Value:  e.Value,
			Origin: bundle.Origin{Provider: "dotenv", Location: fmt.Sprintf("%s:%d", d.Path, e.Line)},
		})
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
func (d *Dotenv) Wait(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	return local.Wait(ctx, d.Path, last, d.Fetch)
}

// String returns "dotenv" and the path, such as "dotenv .env".
func (d *Dotenv) String() string { return "dotenv " + d.Path }
