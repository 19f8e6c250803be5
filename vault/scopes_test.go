package vault_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
)

func TestVault_Scopes(t *testing.T) {
	f := newFixture(t)
	f.MustPut(t, "acme/web/pool-a", "A", "one")
	f.MustIssue(t, "acme/web-2")
	f.MustPut(t, "acme-2", "A", "one")
	for scope, want := range map[string][]string{
		"acme":     {"acme", "acme/web", "acme/web-2", "acme/web/pool-a"},
		"acme/web": {"acme/web", "acme/web/pool-a"},
		"acme-2":   {"acme-2"},
		"acmee":    nil,
		"acme/we":  nil,
	} {
		scopes, err := f.Scopes(t.Context(), scope)
		require.NoError(t, err)
		require.Equal(t, want, scopes, "at and below %s", scope)
	}
	_, err := f.Scopes(t.Context(), "acme/")
	require.ErrorIs(t, err, vault.ErrInvalid)

	t.Run("refuses a scope that no vault has stored", func(t *testing.T) {
		w := newWorld(t)
		w.sql(t, "UPDATE seals SET scope = 'acme/../web' WHERE scope = 'acme/web'")
		f := w.fresh(t)
		_, err := f.Scopes(t.Context(), "acme")
		requireRefused(t, f, err, "not a scope")
	})
}

func TestVault_TokensBelow(t *testing.T) {
	f := newFixture(t)
	want := map[string]bool{}
	for _, scope := range []string{"acme", "acme/web", "acme/web/pool-a"} {
		want[tokenID(t, f.MustIssue(t, scope))] = true
	}
	gone := tokenID(t, f.MustIssue(t, "acme/web"))
	require.NoError(t, f.RevokeToken(t.Context(), gone))
	want[gone] = true
	f.MustIssue(t, "acme-2")
	tokens, err := f.TokensBelow(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, tokens, len(want))
	for _, token := range tokens {
		require.True(t, want[token.ID])
	}
	tokens, err = f.TokensBelow(t.Context(), "acme/web/pool-a")
	require.NoError(t, err)
	require.Len(t, tokens, 1)
	tokens, err = f.TokensBelow(t.Context(), "nothing")
	require.NoError(t, err)
	require.Empty(t, tokens)
}
