package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

const day = 24 * time.Hour

// mustPrune prunes tokens and returns how many.
func (f *fixture) mustPrune(t testing.TB) int {
	t.Helper()
	report, err := f.PruneTokens(t.Context())
	require.NoError(t, err)
	return report.Tokens
}

// mustRevoke revokes tokens.
func (f *fixture) mustRevoke(t testing.TB, tokens ...bundle.Value) {
	t.Helper()
	for _, token := range tokens {
		require.NoError(t, f.RevokeToken(t.Context(), tokenID(t, token)))
	}
}

// tokenRow returns the stored row of a token, or nil.
func (f *fixture) tokenRow(t testing.TB, token bundle.Value) *store.TokenRow {
	t.Helper()
	snap, err := f.Storage.Store.Read(t.Context(), store.Query{Token: tokenID(t, token)})
	require.NoError(t, err)
	return snap.Token
}

// putBack plants a saved row, as an attacker with the database does.
func (f *fixture) putBack(t testing.TB, row *store.TokenRow) {
	t.Helper()
	require.NoError(t, f.Storage.Store.Apply(t.Context(), &store.Change{Issue: []store.TokenRow{*row}}))
}

// revokedIn returns the number of revoked tokens of a scope.
func (f *fixture) revokedIn(t testing.TB, scope string) int {
	t.Helper()
	snap, err := f.Storage.Store.Read(t.Context(), store.Query{Scope: scope})
	require.NoError(t, err)
	return len(snap.Path[len(snap.Path)-1].Revoked)
}

func TestVault_PruneTokens(t *testing.T) {
	t.Run("drops a token a day after its expiry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "x")
			live := f.MustIssue(t, "acme", vault.TokenOptions{Expires: time.Now().Add(1000 * day)})
			short := f.MustIssue(t, "acme", vault.TokenOptions{Expires: time.Now().Add(time.Hour)})
			ended := f.MustIssue(t, "acme", vault.TokenOptions{Expires: time.Now().Add(time.Hour)})
			f.mustRevoke(t, ended)
			saved := f.tokenRow(t, short)
			before := f.Bundle(t, live).Revision()
			time.Sleep(time.Hour + day - time.Microsecond)
			require.Zero(t, f.mustPrune(t), "a day after the expiry, and not before")
			time.Sleep(time.Microsecond)
			require.Equal(t, 2, f.mustPrune(t))
			require.Zero(t, f.mustPrune(t))
			require.Nil(t, f.tokenRow(t, short))
			require.Nil(t, f.tokenRow(t, ended))
			require.Zero(t, f.tokenRow(t, live).Generation, "expiries need no generation")
			require.NotEqual(t, before, f.Bundle(t, live).Revision(), "the seal has one revocation less")
			_, err := f.Bootstrap(t.Context(), short, nil)
			requireReason(t, err, vault.TokenUnknown, "it is no longer stored")

			f.putBack(t, saved)
			_, err = f.process(t).Bootstrap(t.Context(), short, nil)
			requireReason(t, err, vault.TokenExpired, "its MAC covers the expiry")
		})
	})

	t.Run("an expired token that was not revoked leaves the revision unchanged", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			live := f.MustIssue(t, "acme")
			f.MustIssue(t, "acme", vault.TokenOptions{Expires: time.Now().Add(time.Hour)})
			before := f.Bundle(t, live).Revision()
			time.Sleep(2 * day)
			require.Equal(t, 1, f.mustPrune(t))
			require.Equal(t, before, f.Bundle(t, live).Revision())
		})
	})

	t.Run("drops a revoked token after 30 days, and refuses its row afterwards", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", canaryTenant)
			live, ended := f.MustIssue(t, "acme/web"), f.MustIssue(t, "acme/web")
			saved, older := f.tokenRow(t, ended), f.tokenRow(t, live)
			f.mustRevoke(t, ended)
			time.Sleep(30*day - time.Microsecond)
			require.Zero(t, f.mustPrune(t))
			time.Sleep(time.Microsecond)
			require.Equal(t, 1, f.mustPrune(t))
			require.EqualValues(t, 1, f.tokenRow(t, live).Generation)
			require.Equal(t, map[string]string{"A": canaryTenant}, f.Values(t, live), "the others stay valid")
			next := f.MustIssue(t, "acme/web")
			require.EqualValues(t, 1, f.tokenRow(t, next).Generation)
			rotated, _, err := f.RotateToken(t.Context(), tokenID(t, live), nil)
			require.NoError(t, err)
			require.Equal(t, map[string]string{"A": canaryTenant}, f.process(t).Values(t, rotated))

			f.putBack(t, saved)
			for _, process := range []*fixture{f, f.process(t)} {
				_, err := process.Bootstrap(t.Context(), ended, nil)
				require.ErrorIs(t, err, keyring.ErrTampered)
				require.ErrorContains(t, err, "generation")
				_, err = process.Tokens(t.Context(), "acme/web")
				require.ErrorIs(t, err, keyring.ErrTampered)
				_, err = process.Token(t.Context(), tokenID(t, ended))
				require.ErrorIs(t, err, keyring.ErrTampered)
				require.ErrorIs(t, process.RevokeToken(t.Context(), tokenID(t, ended)), keyring.ErrTampered)
				_, _, err = process.RotateToken(t.Context(), tokenID(t, ended), nil)
				require.ErrorIs(t, err, keyring.ErrTampered)
				_, err = process.PruneTokens(t.Context())
				require.NoError(t, err, "there is nothing to drop")
				_, err = process.RotateDataKeys(t.Context(), 0)
				require.ErrorIs(t, err, keyring.ErrTampered, "a rotation does not authenticate the row")
			}

			// The row that a valid token had before is refused too: its generation is
			// known to be over.
			require.NoError(t, f.Storage.Apply(t.Context(), &store.Change{DropTokens: []store.TokenRef{{Scope: "acme/web", ID: older.ID}}}))
			f.putBack(t, older)
			_, err = f.Bootstrap(t.Context(), live, nil)
			require.ErrorIs(t, err, keyring.ErrTampered)
		})
	})

	t.Run("keeps the last 100 revoked tokens of a scope", func(t *testing.T) {
		f := newFixture(t)
		live := f.MustIssue(t, "acme")
		var ended []bundle.Value
		for range 150 {
			ended = append(ended, f.MustIssue(t, "acme"))
		}
		for i := range 150 {
			f.mustRevoke(t, ended[149-i])
		}
		require.Equal(t, 150, f.revokedIn(t, "acme"))
		require.Equal(t, 50, f.mustPrune(t))
		require.Equal(t, 100, f.revokedIn(t, "acme"))
		for i, token := range ended {
			_, err := f.Bootstrap(t.Context(), token, nil)
			if i < 100 {
				requireReason(t, err, vault.TokenRevoked, "revoked later")
			} else {
				requireReason(t, err, vault.TokenUnknown, "revoked first")
			}
		}
		f.Bundle(t, live)
		list, err := f.process(t).Tokens(t.Context(), "acme")
		require.NoError(t, err)
		require.Len(t, list, 101)
	})

	t.Run("keeps a token whose revocation is in the future", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			ctx := t.Context()
			var old []bundle.Value
			for range 130 {
				token := f.MustIssue(t, "acme")
				_, _, err := f.RotateToken(ctx, tokenID(t, token), &vault.RotateTokenOptions{Overlap: 40 * day})
				require.NoError(t, err)
				old = append(old, token)
			}
			time.Sleep(35 * day)
			require.Zero(t, f.mustPrune(t))
			f.Bundle(t, old[0])
			time.Sleep(6 * day)
			require.Equal(t, 30, f.mustPrune(t), "their overlap is over")
		})
	})

	t.Run("follows a revocation in a scope with more than 200 revoked tokens", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "x")
		revoke := func() {
			token := f.MustIssue(t, "acme")
			f.mustRevoke(t, token)
		}
		for range 200 {
			revoke()
		}
		require.Equal(t, 200, f.revokedIn(t, "acme"))
		revoke()
		require.Equal(t, 100, f.revokedIn(t, "acme"))
		for range 99 {
			revoke()
		}
		live := f.MustIssue(t, "acme")
		require.Equal(t, 199, f.revokedIn(t, "acme"))
		revoke()
		_, _, err := f.RotateToken(t.Context(), tokenID(t, live), nil)
		require.NoError(t, err)
		require.Equal(t, 201, f.revokedIn(t, "acme"), "200 and one whose revocation is in the future")
		revoke()
		require.Equal(t, 101, f.revokedIn(t, "acme"))
		f.Bundle(t, live)
		require.Empty(t, f.Log.Text())
	})

	t.Run("records each dropped token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			expired := f.MustIssue(t, "acme", vault.TokenOptions{Expires: time.Now().Add(time.Hour)})
			ended := f.MustIssue(t, "acme")
			f.mustRevoke(t, ended)
			time.Sleep(40 * day)
			report, err := f.PruneTokens(vault.WithActor(t.Context(), "ada"))
			require.NoError(t, err)
			require.Equal(t, vault.PruneReport{Scopes: 1, Tokens: 2}, report)
			entries := f.audit(t, "acme")[3:]
			require.Equal(t, []audit.Entry{
				{Time: entries[0].Time, Action: audit.Prune, Actor: "ada", Scope: "acme", Token: tokenID(t, expired), Reason: "expired"},
				{Time: entries[0].Time, Action: audit.Prune, Actor: "ada", Scope: "acme", Token: tokenID(t, ended), Reason: "revoked"},
			}, entries)
		})
	})

	t.Run("works in parts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			for range 1100 {
				f.MustIssue(t, "acme", vault.TokenOptions{Expires: time.Now().Add(time.Hour)})
			}
			time.Sleep(2 * day)
			require.Equal(t, 1100, f.mustPrune(t))
		})
	})

	t.Run("does not authenticate a planted token", func(t *testing.T) {
		f := newFixture(t)
		for range 101 {
			f.mustRevoke(t, f.MustIssue(t, "acme"))
		}
		planted, id := wire.NewToken()
		row := *f.tokenRow(t, f.MustIssue(t, "acme"))
		row.ID, row.Hash = id, wire.HashToken(planted)
		f.putBack(t, &row)
		_, err := f.PruneTokens(t.Context())
		require.ErrorIs(t, err, keyring.ErrTampered)
		require.ErrorContains(t, err, "token "+id)
		_, err = f.Bootstrap(t.Context(), bundle.NewValue(planted), nil)
		require.ErrorIs(t, err, keyring.ErrTampered)
	})

	t.Run("goes on after a damaged scope", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			for _, scope := range []string{"acme", "acme/web", "globex"} {
				f.MustIssue(t, scope, vault.TokenOptions{Expires: time.Now().Add(time.Hour)})
			}
			row := *f.tokenRow(t, f.MustIssue(t, "acme/web", vault.TokenOptions{Expires: time.Now().Add(2 * time.Hour)}))
			require.NoError(t, f.Storage.Apply(t.Context(), &store.Change{DropTokens: []store.TokenRef{{Scope: row.Scope, ID: row.ID}}}))
			row.Expires = row.Expires.Add(-time.Hour)
			f.putBack(t, &row)
			time.Sleep(2 * day)
			report, err := f.PruneTokens(t.Context())
			require.ErrorIs(t, err, keyring.ErrTampered)
			require.ErrorContains(t, err, `tenant acme: scope "acme/web": `)
			require.Equal(t, vault.PruneReport{Scopes: 2, Tokens: 2}, report)
		})
	})

	t.Run("needs no key if there is nothing to drop", func(t *testing.T) {
		f := newFixture(t)
		for _, scope := range []string{"acme", "acme/web", "globex"} {
			f.mustRevoke(t, f.MustIssue(t, scope))
		}
		writes := f.Storage.Applies.Load()
		f.KEK.Break(keyring.ErrUnavailable)
		unwraps := f.KEK.Unwraps()
		require.Zero(t, f.process(t).mustPrune(t))
		require.Equal(t, unwraps, f.KEK.Unwraps())
		require.Equal(t, writes, f.Storage.Applies.Load())
	})

	t.Run("refuses an invalid actor", func(t *testing.T) {
		f := newFixture(t)
		f.mustRevoke(t, f.MustIssue(t, "acme"))
		_, err := f.PruneTokens(vault.WithActor(t.Context(), "a\nb"))
		require.ErrorIs(t, err, vault.ErrInvalid)
	})

	t.Run("is compatible with rotation, export and import", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "x")
		live := f.MustIssue(t, "acme")
		for range 110 {
			f.mustRevoke(t, f.MustIssue(t, "acme"))
		}
		require.Equal(t, 10, f.mustPrune(t))
		_, err := f.RotateDataKeys(t.Context(), 0)
		require.NoError(t, err)
		require.EqualValues(t, 1, f.tokenRow(t, live).Generation, "a new data key does not change the generation")
		for range 5 {
			f.mustRevoke(t, f.MustIssue(t, "acme"))
		}
		require.Equal(t, 5, f.mustPrune(t))
		require.EqualValues(t, 2, f.tokenRow(t, live).Generation)

		export, _ := f.exported(t)
		g := newFixtureOver(t, memstore.New(), f.KEK)
		_, err = g.Import(t.Context(), bytes.NewReader(export))
		require.NoError(t, err)
		require.Equal(t, f.Values(t, live), g.Values(t, live))
		require.Equal(t, f.Bundle(t, live).Revision(), g.Bundle(t, live).Revision())
		require.Zero(t, g.mustPrune(t))
	})

	t.Run("keeps every token valid while others write", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "x")
		live := f.MustIssue(t, "acme")
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		failed := make(chan error, 10)
		loop := func(do func(*fixture) error) {
			process := f.process(t)
			group.Go(func() {
				for ctx.Err() == nil {
					// Writers without a pause can starve each other until one gives up.
					if err := do(process); err != nil && ctx.Err() == nil && !errors.Is(err, vault.ErrConflict) {
						failed <- err
						return
					}
				}
			})
		}
		loop(func(f *fixture) error { _, err := f.Bootstrap(ctx, live, nil); return err })
		loop(func(f *fixture) error {
			token, info, err := f.IssueToken(ctx, "acme", nil)
			if err == nil {
				_, err = f.Bootstrap(ctx, token, nil)
			}
			if err == nil {
				err = f.RevokeToken(ctx, info.ID)
			}
			return err
		})
		patiently := func(do func() error) {
			t.Helper()
			began := time.Now()
			for err := do(); err != nil; err = do() {
				require.ErrorIs(t, err, vault.ErrConflict)
				require.Less(t, time.Since(began), time.Minute)
			}
		}
		for range 120 {
			patiently(func() error {
				_, info, err := f.IssueToken(t.Context(), "acme", nil)
				if err == nil {
					err = f.RevokeToken(t.Context(), info.ID)
				}
				return err
			})
		}
		for range 5 {
			patiently(func() error { _, err := f.PruneTokens(t.Context()); return err })
		}
		cancel()
		group.Wait()
		select {
		case err := <-failed:
			require.NoError(t, err)
		default:
		}
		require.Positive(t, f.tokenRow(t, live).Generation)
	})
}

func TestVault_RunPrunes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.MustIssue(t, "acme", vault.TokenOptions{Expires: time.Now().Add(time.Minute)})
		end := f.run(t)
		time.Sleep(day)
		synctest.Wait()
		require.Len(t, mustTokens(t, f, "acme"), 1)
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		require.Empty(t, mustTokens(t, f, "acme"), "an hour later at the latest")
		require.Contains(t, f.Log.Text(), "ended tokens were dropped")
		require.NoError(t, end())
	})
}

func mustTokens(t *testing.T, f *fixture, scope string) []string {
	t.Helper()
	list, err := f.Tokens(t.Context(), scope)
	require.NoError(t, err)
	var ids []string
	for _, token := range list {
		ids = append(ids, token.ID)
	}
	return ids
}

// BenchmarkTokens measures work in a scope in which many tokens were issued and revoked.
func BenchmarkTokens(b *testing.B) {
	for _, ever := range []int{0, 1000, 3000} {
		f := newFixture(b)
		token := f.Fifty(b)
		const scope = "acme/web/pool-a"
		for range ever {
			f.mustRevoke(b, f.MustIssue(b, scope))
		}
		b.Run(fmt.Sprintf("bundle/%d", ever), func(b *testing.B) {
			for b.Loop() {
				f.Bundle(b, token)
			}
		})
		b.Run(fmt.Sprintf("issue/%d", ever), func(b *testing.B) {
			for b.Loop() {
				f.MustIssue(b, "acme/web/pool-a/below")
			}
		})
		b.Run(fmt.Sprintf("issue and revoke/%d", ever), func(b *testing.B) {
			for b.Loop() {
				f.mustRevoke(b, f.MustIssue(b, scope))
			}
		})
	}
}
