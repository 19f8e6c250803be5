package main

import (
	"context"
	"slices"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// connect returns a client of the layers. It tries until the time is over or ctx
// ends, and says why that takes long.
func (p *program) connect(ctx context.Context, layers []bundle.Provider, limit time.Duration, opts satchel.Options) (*satchel.Client, error) {
	if limit > 0 {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		ctx = bounded
	}
	said := map[string]string{} // by layer
	opts.Observer.Waiting = func(layer string, err error) {
		if text := explained(err, flagNames); said[layer] != text {
			said[layer] = text
			p.note("waiting for %s: %s", layer, text)
		}
	}
	opts.Logger = p.logger(flagNames)
	return satchel.New(ctx, layers, &opts)
}

// sayHidden says which local values hide others: of the named secrets, or of all
// without names.
func (p *program) sayHidden(b *bundle.Bundle, names ...string) {
	for _, shadow := range b.Shadowed() {
		if names != nil && !slices.Contains(names, shadow.Name) {
			continue
		}
		which, otherwise := "another value", "put yours in its place with `satchel migrate --overwrite "+shadow.Name+"`"
		if shadow.Same {
			which, otherwise = "the same value", "let `satchel migrate` do it"
		}
		p.note("%s: %s hides %s of %s; to use that, %s, or %s", shadow.Name, shadow.Winner, which, shadow.Hidden, shadow.Fix(), otherwise)
	}
}
