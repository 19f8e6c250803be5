package providers

import (
	"context"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/local"
)

// Func is a function that returns bundles, for a provider without a type of its
// own. It must follow the rules of [bundle.Provider], except that Fetch handles a
// context that has already ended and returns last for an equal bundle.
//
// Its bundles and errors are passed on unchanged. Names that start with SATCHEL_
// are not omitted. Fetch of a nil Func returns a permanent [*bundle.FetchError].
type Func func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error)

// Fetch implements [bundle.Provider]: it calls f, and returns last itself if the
// bundle is equal.
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
