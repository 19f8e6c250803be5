package main

import (
	"context"
	"slices"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// connect returns a client of the layers. It retries until limit has passed (0 means
// no limit) or ctx is done, and reports each new reason for waiting.
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

// sayShadowed reports the layers that shadow others: for the given names, or for all
// secrets if names is nil.
func (p *program) sayShadowed(b *bundle.Bundle, names ...string) {
	for _, shadow := range b.Shadowed() {
		if names != nil && !slices.Contains(names, shadow.Name) {
			continue
		}
		file, _, _ := shadow.Winner.FileLine()
		which, otherwise := "another value", "replace it with yours: `satchel migrate --overwrite "+shadow.Name+" "+file+"`"
		if shadow.Same {
			which, otherwise = "the same value", "run `satchel migrate "+file+"`"
		}
		p.note("%s: %s shadows %s of %s; to use that one, %s, or %s", shadow.Name, shadow.Winner, which, shadow.Hidden, shadow.Fix(), otherwise)
	}
}
