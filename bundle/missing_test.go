package bundle_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestBundle_Require(t *testing.T) {
	b, err := bundle.New([]bundle.Secret{{Name: "A", Value: bundle.NewValue("1")}, {Name: "EMPTY"}}, &bundle.Meta{Problems: []bundle.Problem{
		{Name: "GITHUB_TOKEN", Origin: bundle.Origin{Provider: "github", Location: "acme"}, Reason: "the installation is suspended"},
		{Name: "OTHER", Reason: "not required"},
		{Origin: bundle.Origin{Provider: "yaml", Location: "secrets.yaml"}, Reason: "cannot read the file"},
	}})
	require.NoError(t, err)

	t.Run("returns nil if all are present", func(t *testing.T) {
		require.NoError(t, b.Require())
		require.NoError(t, b.Require("EMPTY", "A", "A"), "an empty value counts as present")
	})
	t.Run("reports all missing names and their problems in one error", func(t *testing.T) {
		err := b.Require("Z", "A", "GITHUB_TOKEN", "Z")
		require.EqualError(t, err, "required secrets are missing: GITHUB_TOKEN (github acme: the installation is suspended), Z; "+
			"yaml secrets.yaml: cannot read the file; add them on the platform, or to a local layer")
		e, ok := errors.AsType[*bundle.MissingError](err)
		require.True(t, ok)
		require.Equal(t, []string{"GITHUB_TOKEN", "Z"}, e.Names, "sorted, without duplicates")
		require.Equal(t, []bundle.Problem{b.Problems()[0], b.Problems()[2]}, e.Problems)
	})
	t.Run("treats a nil bundle as empty", func(t *testing.T) {
		var none *bundle.Bundle
		require.NoError(t, none.Require())
		require.EqualError(t, none.Require("A"), "required secrets are missing: A; add them on the platform, or to a local layer")
	})
}

func TestProblem_Explain(t *testing.T) {
	require.Equal(t, "github acme: suspended", bundle.Problem{Name: "A", Origin: bundle.Origin{Provider: "github", Location: "acme"}, Reason: "suspended"}.Explain())
	require.Equal(t, "suspended", bundle.Problem{Reason: "suspended"}.Explain(), "without an origin")
}
