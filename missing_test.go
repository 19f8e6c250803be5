package satchel_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

func requiring(names ...string) *satchel.Options {
	opts := quiet()
	opts.Require = names
	return opts
}

func TestOptions_Require(t *testing.T) {
	t.Run("names all missing secrets in one error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			platform := newSource("platform", gives(bundleWith(bundle.Meta{Problems: []bundle.Problem{
				{Name: "GITHUB_TOKEN", Origin: bundle.Origin{Provider: "github", Location: "acme"}, Reason: "the installation is suspended"},
				{Name: "UNRELATED", Reason: "is unrelated"},
			}}, secret("A", "1"), expiring("OLD", "1", time.Now().Add(-time.Hour)))))
			down := newSource("shared", fails(errDown))
			_, err := satchel.New(t.Context(), []bundle.Provider{bundle.Optional(down), platform},
				requiring("OLD", "GITHUB_TOKEN", "A", "ANTHROPIC_API_KEY", "OLD"))
			require.EqualError(t, err, "required secrets are missing: ANTHROPIC_API_KEY, GITHUB_TOKEN (github acme: the installation is suspended), "+
				"OLD (test 1-place: expired at 1999-12-31T23:00:00Z); shared: connection refused; add them on the platform, or to a local layer")
			e, ok := errors.AsType[*bundle.MissingError](err)
			require.True(t, ok, "a program can read the names")
			require.Equal(t, []string{"ANTHROPIC_API_KEY", "GITHUB_TOKEN", "OLD"}, e.Names)
			require.Len(t, e.Problems, 3, "problems of other secrets are left out")
			require.Len(t, down.fetched(), 1, "New does not retry")
		})
	})

	t.Run("accepts any layer and an empty value", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, err := satchel.New(t.Context(), []bundle.Provider{newSource("one", gives(bundleOf(secret("A", "1")))), newSource("two", gives(bundleOf(secret("B", ""))))},
				requiring("A", "B"))
			require.NoError(t, err, "an empty value counts as present")
			require.Equal(t, 2, c.Bundle().Len())
		})
	})

	t.Run("rejects an invalid name before the first fetch", func(t *testing.T) {
		s := newSource("s", gives(nil))
		_, err := satchel.New(t.Context(), []bundle.Provider{s}, requiring("API KEY"))
		require.EqualError(t, err, `option Require: the name "API KEY" has ' ' at byte 3; want letters, digits and _, not starting with a digit`)
		require.Empty(t, s.fetched())
	})
}
