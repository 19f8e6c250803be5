package providers

import (
	"context"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/local"
)

// Func is a function that yields bundles: the shortest way to a provider of
// one's own. It follows the rules of [bundle.Provider], but need not compare
// with last, nor look at a context that was over before.
//
// What it returns comes through as it is, whatever the names.
type Func func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error)

// Fetch implements [bundle.Provider].
func (f Func) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f == nil {
		return nil, local.Permanent(&bundle.Fault{Problem: "providers.Func is nil", Fix: "set it to a function"})
	}
	b, err := f(ctx, last)
	if err != nil {
		return nil, err
	}
	if last != nil && b.Equal(last) {
		return last, nil
	}
	return b, nil
}

// String returns "func".
func (f Func) String() string { return "func" }
