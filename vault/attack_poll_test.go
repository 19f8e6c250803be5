package vault_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
)

// requirePollRefused checks that f answers neither "unchanged" nor a bundle to a poll for
// the given revision.
func requirePollRefused(t *testing.T, f *fixture, token bundle.Value, revision, about string) {
	t.Helper()
	b, err := f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: revision})
	require.Nil(t, b)
	require.NotErrorIs(t, err, vault.ErrUnchanged, about)
	requireRefused(t, f, err, about)
}

func TestAttackPoll(t *testing.T) {
	t.Run("a process that starts does not trust a seal without its rows", func(t *testing.T) {
		for _, scope := range []string{"acme", "acme/web"} {
			w := newWorld(t)
			w.keep(t, "seals")
			revision := w.Bundle(t, w.token).Revision()
			w.MustPut(t, scope, "C", "rotated, since it had leaked")
			w.restore(t, "seals", "scope = '"+scope+"'")
			requirePollRefused(t, w.fresh(t), w.token, revision, "the seal from before the rotation")
		}
	})

	t.Run("a process that starts does not trust rows without their seal", func(t *testing.T) {
		w := newWorld(t)
		w.keep(t, "secrets", "heads")
		w.MustPut(t, "acme/web", "C", "rotated, since it had leaked")
		revision := w.Bundle(t, w.token).Revision()
		for _, table := range []string{"secrets", "heads"} {
			w.restore(t, table, "scope = 'acme/web'")
		}
		requirePollRefused(t, w.fresh(t), w.token, revision, "the rows from before the rotation")
		_, err := w.Bootstrap(t.Context(), w.token, &vault.BootstrapRequest{IfNoneMatch: revision})
		require.ErrorIs(t, err, vault.ErrUnchanged, "the process that wrote the seal has verified it; the runner has the written values")
	})

	t.Run("a scheduled revocation cannot be edited", func(t *testing.T) {
		for about, edit := range map[string]string{
			"removed":   "UPDATE tokens SET revoked = 0, revoked_by = '' WHERE id = ?",
			"postponed": "UPDATE tokens SET revoked = revoked + 3600000000 WHERE id = ?",
		} {
			w := newWorld(t)
			_, _, err := w.RotateToken(t.Context(), tokenID(t, w.token), &vault.RotateTokenOptions{Overlap: time.Hour})
			require.NoError(t, err)
			revision := w.Bundle(t, w.token).Revision()
			w.sql(t, edit, tokenID(t, w.token))
			requirePollRefused(t, w.fixture, w.token, revision, about)
			requirePollRefused(t, w.fresh(t), w.token, revision, about)
		}
	})

	t.Run("a poll ends with the genuine revocation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "one")
			token := f.MustIssue(t, "acme")
			_, _, err := f.RotateToken(t.Context(), tokenID(t, token), &vault.RotateTokenOptions{Overlap: 10 * time.Second})
			require.NoError(t, err)
			began := time.Now()
			_, err = f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: f.Bundle(t, token).Revision(), Wait: 50 * time.Second})
			requireReason(t, err, vault.TokenRevoked, "the overlap is over")
			require.InDelta(t, 10, time.Since(began).Seconds(), 0.001)
		})
	})
}

func TestAttackPoll_Reads(t *testing.T) {
	f := newFixture(t)
	f.MustPut(t, "acme", "A", "one")
	token := f.MustIssue(t, "acme/web")
	revision := f.Bundle(t, token).Revision()
	cold := f.process(t)
	poll := func() {
		t.Helper()
		_, err := cold.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: revision})
		require.ErrorIs(t, err, vault.ErrUnchanged)
	}
	reads := cold.Storage.Reads.Load()
	poll()
	require.Equal(t, reads+2, cold.Storage.Reads.Load(), "the first poll reads the rows, too")
	for range 3 {
		poll()
	}
	require.Equal(t, reads+5, cold.Storage.Reads.Load(), "later ones read only the seals")
	f.KEK.Break(keyring.ErrUnavailable)
	poll()
}
