package providers

import (
	"context"
	"slices"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/local"
)

// Static is a fixed list of secrets, for tests and for values that a program
// already has. It must not change while it is in use.
//
//	providers.Static{{Name: "API_KEY", Value: bundle.NewValue(key)}}
//
// A secret without an origin gets the origin "static". Names that start with
// SATCHEL_ are omitted. Fetch returns a permanent [*bundle.FetchError] if
// [bundle.New] rejects the list.
type Static []bundle.Secret

// Fetch implements [bundle.Provider]: it returns last itself if the secrets are
// equal.
func (s Static) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	secrets := slices.Clone(s)
	for i := range secrets {
		if secrets[i].Origin == (bundle.Origin{}) {
			secrets[i].Origin.Provider = "static"
		}
	}
	return local.Bundle(last, secrets, nil)
}

// String returns "static".
func (s Static) String() string { return "static" }
