package vault_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/store"
)

func (f *fixture) use(t *testing.T, token bundle.Value, runner, addr string) {
	t.Helper()
	_, err := f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{Runner: runner, RemoteAddr: addr})
	require.NoError(t, err)
}

func TestUses(t *testing.T) {
	t.Run("are shown by the next read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "INHERITED", "x")
			f.MustPut(t, "acme", "SHADOWED", "x")
			f.MustPut(t, "acme", "HIDDEN", "x")
			f.MustPut(t, "acme", "EXPIRED", "x", vault.PutOptions{Expires: time.Now().Add(time.Second)})
			f.MustPut(t, "acme/web", "SHADOWED", "y")
			_, err := f.Hide(t.Context(), "acme/web", "HIDDEN")
			require.NoError(t, err)
			token := f.MustIssue(t, "acme/web")
			time.Sleep(time.Minute)
			f.use(t, token, "runner-7", "192.0.2.7")
			at := time.Now().UTC().Truncate(time.Microsecond)
			time.Sleep(time.Second)

			used := map[string]bool{}
			for _, scope := range []string{"acme", "acme/web"} {
				list, err := f.List(t.Context(), scope)
				require.NoError(t, err)
				for _, info := range list {
					if !info.LastUsed.IsZero() {
						used[scope+" "+info.Name] = true
						require.Equal(t, at, info.LastUsed)
						require.Equal(t, tokenID(t, token), info.LastToken)
					}
				}
			}
			require.Equal(t, map[string]bool{"acme INHERITED": true, "acme/web SHADOWED": true}, used, "only delivered secrets count as used")

			tokens, err := f.Tokens(t.Context(), "acme/web")
			require.NoError(t, err)
			require.Equal(t, at, tokens[0].LastUsed)
			require.Equal(t, "runner-7", tokens[0].LastRunner)
			require.Equal(t, "192.0.2.7", tokens[0].LastAddr)
		})
	})

	t.Run("count an unchanged poll for the token only", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "x")
			token := f.MustIssue(t, "acme")
			revision := f.Bundle(t, token).Revision()
			first := time.Now().UTC().Truncate(time.Microsecond)
			time.Sleep(time.Hour)
			_, err := f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: revision})
			require.ErrorIs(t, err, vault.ErrUnchanged)
			info, err := f.Info(t.Context(), "acme", "A")
			require.NoError(t, err)
			require.Equal(t, first, info.LastUsed)
			tokens, err := f.Tokens(t.Context(), "acme")
			require.NoError(t, err)
			require.Equal(t, first.Add(time.Hour), tokens[0].LastUsed)
		})
	})

	t.Run("exclude a refused token", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		require.NoError(t, f.RevokeToken(t.Context(), tokenID(t, token)))
		_, err := f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{Runner: "thief"})
		requireReason(t, err, vault.TokenRevoked, "it is revoked")
		tokens, err := f.Tokens(t.Context(), "acme")
		require.NoError(t, err)
		require.Zero(t, tokens[0].LastUsed)
		require.Empty(t, tokens[0].LastRunner)
	})

	t.Run("are shared by all versions and forgotten by Delete", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		f.MustPut(t, "acme", "A", "one")
		f.use(t, token, "", "")
		f.MustPut(t, "acme", "A", "two")
		history, err := f.History(t.Context(), "acme", "A")
		require.NoError(t, err)
		require.NotZero(t, history[0].LastUsed)
		require.Equal(t, history[0].LastUsed, history[1].LastUsed)
		require.NoError(t, f.Delete(t.Context(), "acme", "A"))
		require.Zero(t, f.MustPut(t, "acme", "A", "three").LastUsed)
		info, err := f.Info(t.Context(), "acme", "A")
		require.NoError(t, err)
		require.Zero(t, info.LastUsed)
	})

	t.Run("are stored every ten seconds whatever the load", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "x")
			token := f.MustIssue(t, "acme")
			for range 10_000 { // a hundred seconds
				f.use(t, token, "", "")
				time.Sleep(10 * time.Millisecond)
			}
			require.LessOrEqual(t, f.Storage.Touches.Load(), int64(10))
			require.GreaterOrEqual(t, f.Storage.Touches.Load(), int64(9))
			require.NoError(t, f.Flush(t.Context()))
			require.NoError(t, f.Flush(t.Context()))
			require.LessOrEqual(t, f.Storage.Touches.Load(), int64(11), "nothing is stored twice")
			require.LessOrEqual(t, f.Storage.Touched.Load(), int64(2*11), "only the latest use of the token and of the secret is stored")
		})
	})

	t.Run("count a secret once for many tokens", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "x")
		for range 20 {
			f.use(t, f.MustIssue(t, "acme"), "", "")
		}
		require.NoError(t, f.Flush(t.Context()))
		require.EqualValues(t, 20+1, f.Storage.Touched.Load())
	})

	t.Run("take bounded memory while storing fails", func(t *testing.T) {
		f := newFixture(t)
		var used []store.Usage
		for i := range 20_000 {
			used = append(used, store.Usage{Token: strconv.Itoa(i), Time: time.Now()})
		}
		require.Equal(t, 10_000, vault.Collect(f.Vault, used))
	})

	t.Run("keep the latest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			other := f.process(t)
			f.MustPut(t, "acme", "A", "x")
			token, later := f.MustIssue(t, "acme"), f.MustIssue(t, "acme")
			f.use(t, token, "first", "")
			time.Sleep(time.Second)
			other.use(t, later, "", "")
			other.use(t, token, "second", "")
			latest := time.Now().UTC().Truncate(time.Microsecond)
			require.NoError(t, other.Flush(t.Context()))
			require.NoError(t, f.Flush(t.Context()), "an older use that is stored later")
			tokens, err := f.Tokens(t.Context(), "acme")
			require.NoError(t, err)
			for _, info := range tokens {
				if info.ID == tokenID(t, token) {
					require.Equal(t, latest, info.LastUsed)
					require.Equal(t, "second", info.LastRunner)
				}
			}
		})
	})

	t.Run("are kept for the next attempt when storing fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "x")
			token := f.MustIssue(t, "acme")
			broken := errors.New("read-only database")
			f.Storage.FailTouch.Set(broken)
			f.use(t, token, "runner-7", "")
			at := time.Now().UTC().Truncate(time.Microsecond)
			require.ErrorIs(t, f.Flush(t.Context()), broken, "Flush returns the error")
			time.Sleep(time.Minute)
			f.use(t, token, "runner-8", "")
			require.Contains(t, f.Log.Text(), "level=WARN")
			tokens, err := f.Tokens(t.Context(), "acme")
			require.NoError(t, err, "a failed flush does not affect Tokens")
			require.Zero(t, tokens[0].LastUsed)

			f.Storage.FailTouch.Set(nil)
			tokens, err = f.Tokens(t.Context(), "acme")
			require.NoError(t, err)
			require.Equal(t, at.Add(time.Minute), tokens[0].LastUsed, "they are kept until they can be stored")
			require.Equal(t, "runner-8", tokens[0].LastRunner)
		})
	})
}

func TestVault_Flush(t *testing.T) {
	t.Run("returns the error of its context", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "x")
		f.use(t, f.MustIssue(t, "acme"), "", "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, f.Flush(ctx), ctx.Err())
		require.NoError(t, f.Flush(t.Context()))
	})
}
