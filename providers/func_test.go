package providers_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/providertest"
)

func TestFunc(t *testing.T) {
	t.Run("conforms to the provider contract", func(t *testing.T) {
		providertest.Run(t, func(t *testing.T) providertest.Fixture {
			var value atomic.Value
			value.Store(localCanary)
			return providertest.Fixture{
				Provider: providers.Func(func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
					v := value.Load().(string)
					if v == "" {
						return nil, &bundle.FetchError{Kind: bundle.FetchRevoked, Err: errors.New("gone")}
					}
					return bundle.New([]bundle.Secret{{Name: "A", Value: bundle.NewValue(v), Origin: bundle.Origin{Provider: "test"}}}, nil)
				}),
				Want: map[string]string{"A": localCanary},
				Change: func() map[string]string {
					value.Store("new")
					return map[string]string{"A": "new"}
				},
				Break: func() bundle.FetchKind {
					value.Store("")
					return bundle.FetchRevoked
				},
			}
		})
	})

	t.Run("passes arguments and results through unchanged", func(t *testing.T) {
		type key struct{}
		ctx := context.WithValue(t.Context(), key{}, "v")
		last, err := bundle.New([]bundle.Secret{{Name: "SATCHEL_X"}}, nil)
		require.NoError(t, err)
		cause := errors.New("no route")
		f := providers.Func(func(c context.Context, l *bundle.Bundle) (*bundle.Bundle, error) {
			require.Equal(t, "v", c.Value(key{}), "the context is the caller's")
			require.Same(t, last, l, "last is the caller's")
			return last, cause
		})
		b, err := f.Fetch(ctx, last)
		require.Equal(t, cause, err, "an error is passed on unchanged")
		require.Nil(t, b, "an error excludes a bundle")

		cause = nil
		b, err = f.Fetch(ctx, last)
		require.NoError(t, err)
		require.Same(t, last, b, "a bundle is passed on unchanged, whatever the names")
	})

	t.Run("accepts a nil bundle", func(t *testing.T) {
		f := providers.Func(func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) { return nil, nil })
		b, err := f.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Zero(t, b.Len(), "a nil bundle is an empty one")

		empty, err := bundle.New(nil, nil)
		require.NoError(t, err)
		b, err = providers.Func(func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) { return empty, nil }).Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Same(t, empty, b, "without last, the bundle is passed on unchanged")
	})

	t.Run("rejects a nil function", func(t *testing.T) {
		refused(t, providers.Func(nil), "providers.Func is nil; set it to a function")
	})
}
