package vault_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/internal/vaultfixture"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// mint is a provider that mints GIT_TOKEN.
type mint struct {
	life    time.Duration // zero: no expiry
	delay   time.Duration
	count   atomic.Int64
	stuck   atomic.Pointer[chan struct{}] // Fetch blocks until it is closed
	failure vaultfixture.Failure
}

const canaryMinted = "canary-minted-4e6a8c0b2d1f3579"

func (m *mint) Fetch(ctx context.Context, _ *bundle.Bundle) (*bundle.Bundle, error) {
	n := m.count.Add(1)
	if stuck := m.stuck.Load(); stuck != nil {
		<-*stuck
	}
	if m.delay > 0 {
		select {
		case <-time.After(m.delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := m.failure.Err(); err != nil {
		return nil, err
	}
	s := bundle.Secret{Name: "GIT_TOKEN", Value: bundle.NewValue(fmt.Sprint(canaryMinted, n)), Kind: "github"}
	if m.life != 0 {
		s.Expires = time.Now().Add(m.life)
	}
	return bundle.New([]bundle.Secret{s}, nil)
}

// minting returns options with an integration of acme that uses m.
func (m *mint) minting(in vault.Integration) vault.Options {
	in.Name, in.Scope, in.Provider = "github", "acme", m
	return vault.Options{Integrations: []vault.Integration{in}}
}

func TestIntegration_Mint(t *testing.T) {
	t.Run("is shared by many runners and two processes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &mint{life: time.Hour, delay: time.Second}
			f := newFixture(t).with(t, m.minting(vault.Integration{}))
			token := f.MustIssue(t, "acme/web")
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * 50 * time.Millisecond)
					b, err := f.Bootstrap(t.Context(), token, nil)
					if err != nil || reveal(b)["GIT_TOKEN"] != canaryMinted+"1" {
						t.Errorf("runner %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			require.Equal(t, canaryMinted+"1", f.with(t, m.minting(vault.Integration{})).Values(t, token)["GIT_TOKEN"])
			require.Equal(t, int64(1), m.count.Load())
		})
	})

	t.Run("is not repeated for a runner that read storage before it ended", func(t *testing.T) {
		m := &mint{life: time.Hour}
		f := newFixture(t).with(t, m.minting(vault.Integration{}))
		token := f.MustIssue(t, "acme")
		f.Storage.Meanwhile(1, func() {
			if _, err := f.Bootstrap(t.Context(), token, nil); err != nil {
				t.Errorf("the faster runner: %v", err)
			}
		})
		require.Equal(t, canaryMinted+"1", f.Values(t, token)["GIT_TOKEN"])
		require.Equal(t, int64(1), m.count.Load())
	})

	t.Run("runs again when 40 percent of the lifetime is left", func(t *testing.T) {
		for about, life := range map[string]time.Duration{"with an expiry": time.Hour, "without one": 0} {
			t.Run(about, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := &mint{life: life}
					f := newFixture(t).with(t, m.minting(vault.Integration{}))
					token := f.MustIssue(t, "acme")
					first := f.Bundle(t, token)
					time.Sleep(36*time.Minute - time.Second)
					req := &vault.BootstrapRequest{IfNoneMatch: first.Meta().Revision}
					_, err := f.Bootstrap(t.Context(), token, req)
					require.ErrorIs(t, err, vault.ErrUnchanged)
					require.Equal(t, int64(1), m.count.Load(), "an unchanged poll does not mint")
					time.Sleep(2 * time.Second)
					b, err := f.Bootstrap(t.Context(), token, req)
					require.NoError(t, err)
					require.Equal(t, canaryMinted+"2", reveal(b)["GIT_TOKEN"])
					require.NotEqual(t, first.Meta().Revision, b.Meta().Revision, "the revision changes, too")
					s, _ := b.Get("GIT_TOKEN")
					require.Equal(t, bundle.Origin{Provider: "github", Location: "acme"}, s.Origin)
					require.Equal(t, life == 0, s.Expires.IsZero())
				})
			})
		}
	})

	t.Run("has a budget and a deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &mint{life: time.Minute}
			f := newFixture(t).with(t, m.minting(vault.Integration{Budget: 3}))
			token := f.MustIssue(t, "acme")
			for range 50 {
				f.Bundle(t, token)
				time.Sleep(time.Minute)
			}
			require.Equal(t, int64(3), m.count.Load())
			require.Contains(t, f.Bundle(t, token).Problems()[0].Reason, "budget of 3")
			time.Sleep(time.Hour)
			require.Contains(t, f.Values(t, token), "GIT_TOKEN", "an hour later, the secret is minted again")

			slow := &mint{life: time.Hour, delay: time.Hour}
			g := newFixture(t).with(t, slow.minting(vault.Integration{Timeout: 3 * time.Second}))
			token = g.MustIssue(t, "acme")
			began := time.Now()
			require.Len(t, g.Bundle(t, token).Problems(), 1)
			require.Less(t, time.Since(began), 4*time.Second)
		})
	})
}

func TestIntegration_Outage(t *testing.T) {
	t.Run("delivers the last secrets until they expire and then a problem", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &mint{life: time.Hour}
			f := newFixture(t).with(t, m.minting(vault.Integration{}))
			f.MustPut(t, "acme", "A", "a")
			token := f.MustIssue(t, "acme")
			f.Values(t, token)
			m.failure.Set(errors.New("the forge is down"))
			time.Sleep(59 * time.Minute)
			require.Equal(t, map[string]string{"A": "a", "GIT_TOKEN": canaryMinted + "1"}, f.Values(t, token), "the secret is delivered until it expires")
			require.Empty(t, f.Bundle(t, token).Problems())
			require.Equal(t, int64(2), m.count.Load(), "a failed minting is not retried immediately")
			time.Sleep(time.Minute)
			b := f.Bundle(t, token)
			require.Equal(t, map[string]string{"A": "a"}, reveal(b))
			require.Len(t, b.Problems(), 1)
			require.Equal(t, bundle.Origin{Provider: "github", Location: "acme"}, b.Problems()[0].Origin)
			require.Contains(t, b.Problems()[0].Reason, "the forge is down")
			require.True(t, b.Problems()[0].Retryable)
			states, err := f.Integrations(t.Context(), "acme")
			require.NoError(t, err)
			require.Contains(t, states[0].Problem, "the forge is down")

			m.failure.Set(nil)
			time.Sleep(time.Minute)
			next, err := f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: b.Meta().Revision})
			require.NoError(t, err)
			require.Contains(t, reveal(next), "GIT_TOKEN")
			require.Empty(t, next.Problems())
		})
	})

	t.Run("does not hold up runners when the provider ignores its deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &mint{life: time.Hour}
			release := make(chan struct{})
			m.stuck.Store(&release)
			f := newFixture(t).with(t, m.minting(vault.Integration{Timeout: 3 * time.Second}))
			f.MustPut(t, "acme", "A", "a")
			token := f.MustIssue(t, "acme")
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					began := time.Now()
					b, err := f.Bootstrap(t.Context(), token, nil)
					if err != nil || reveal(b)["A"] != "a" || len(b.Problems()) != 1 || !b.Problems()[0].Retryable {
						t.Errorf("the bundle without the minted secret: %v", err)
					}
					if took := time.Since(began); took > 4*time.Second {
						t.Errorf("the bundle took %s", took)
					}
				})
			}
			wg.Wait()
			require.Contains(t, f.Bundle(t, token).Problems()[0].Reason, "3s", "the problem has the timeout")
			time.Sleep(time.Hour)
			require.Len(t, f.Bundle(t, token).Problems(), 1)
			require.Equal(t, int64(1), m.count.Load(), "no other Fetch begins while one is stuck")
			close(release)
			m.stuck.Store(nil)
			time.Sleep(time.Minute)
			require.Contains(t, f.Values(t, token), "GIT_TOKEN", "the next Fetch begins after the stuck one returns")
		})
	})

	t.Run("honors RetryAfter up to an hour", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &mint{life: time.Hour}
			f := newFixture(t).with(t, m.minting(vault.Integration{}))
			token := f.MustIssue(t, "acme")
			m.failure.Set(&bundle.FetchError{RetryAfter: 10 * time.Minute, Err: errors.New("too many requests")})
			for range 10 {
				require.Len(t, f.Bundle(t, token).Problems(), 1)
				time.Sleep(time.Minute - time.Second)
			}
			require.Equal(t, int64(1), m.count.Load(), "it is not retried for ten minutes")
			time.Sleep(10 * time.Second)
			f.Bundle(t, token)
			require.Equal(t, int64(2), m.count.Load())

			m.failure.Set(&bundle.FetchError{RetryAfter: 1000 * time.Hour, Err: errors.New("too many requests")})
			time.Sleep(10 * time.Minute)
			f.Bundle(t, token)
			m.failure.Set(nil)
			time.Sleep(time.Hour)
			require.Contains(t, f.Values(t, token), "GIT_TOKEN", "the longest pause is an hour")
		})
	})
}

func TestIntegration_Shadow(t *testing.T) {
	m := &mint{life: time.Hour}
	f := newFixture(t).with(t, m.minting(vault.Integration{}))
	token, other := f.MustIssue(t, "acme/web"), f.MustIssue(t, "acme/api")
	f.MustPut(t, "acme/web", "GIT_TOKEN", "mine")
	require.Equal(t, map[string]string{"GIT_TOKEN": "mine"}, f.Values(t, token))
	require.Equal(t, map[string]string{"GIT_TOKEN": canaryMinted + "1"}, f.Values(t, other))
	_, err := f.Hide(t.Context(), "acme/web", "GIT_TOKEN")
	require.NoError(t, err)
	require.Empty(t, f.Values(t, token))
	require.Empty(t, f.Values(t, f.MustIssue(t, "globex")), "another tenant does not get the secret")
}

func TestIntegration_Storage(t *testing.T) {
	t.Run("seals what was minted", func(t *testing.T) {
		m := &mint{life: time.Hour}
		storage := memstore.New()
		f := newFixtureOver(t, storage, keyringtest.NewFake("kek")).with(t, m.minting(vault.Integration{}))
		token := f.MustIssue(t, "acme")
		f.Values(t, token)
		snap, err := storage.Read(t.Context(), store.Query{Scope: "acme", Minted: true, History: true, Tokens: true, AuditHead: true})
		require.NoError(t, err)
		require.Len(t, snap.Path[0].Minted, 1)
		require.NotContains(t, string(snap.Path[0].Minted[0].Message), canaryMinted)
		require.NotContains(t, f.Log.Text(), canaryMinted)
		for _, e := range f.audit(t, "acme") {
			require.NotContains(t, fmt.Sprintf("%+v", e), canaryMinted)
		}
	})

	t.Run("refuses an edited row", func(t *testing.T) {
		for about, attack := range map[string]string{
			"another integration": "UPDATE minted SET integration = 'near2' WHERE integration = 'near'",
			"another identity":    "UPDATE minted SET identity = 'X'",
			"another scope":       "UPDATE minted SET scope = 'acme/web'",
			"another beginning":   "UPDATE minted SET minted = minted + 1",
			"a later end":         "UPDATE minted SET expires = expires + 1000000",
			"an earlier end":      "UPDATE minted SET expires = expires - 1",
			"no end":              "UPDATE minted SET expires = 0",
			"another message":     "UPDATE minted SET message = zeroblob(length(message))",
			"no message":          "UPDATE minted SET message = zeroblob(0)",
		} {
			t.Run(about, func(t *testing.T) {
				m := &mint{life: time.Hour}
				file := filepath.Join(t.TempDir(), "vault.db")
				opts := m.minting(vault.Integration{})
				opts.Integrations = append(opts.Integrations, vault.Integration{Name: "near", Scope: "acme/web", Provider: m})
				elsewhere := about == "another scope" || about == "another integration"
				if about == "another scope" {
					opts.Integrations[1].Name = "other"
				}
				f := openSQLite(t, file, keyringtest.NewFake("kek")).with(t, opts)
				token := f.MustIssue(t, "acme/web")
				f.Values(t, token)
				db := openDB(t, file)
				result, err := db.Exec(attack)
				require.NoError(t, err)
				n, err := result.RowsAffected()
				require.NoError(t, err)
				require.Positive(t, n)
				b, err := f.Bootstrap(t.Context(), token, nil)
				if elsewhere && err == nil {
					require.Equal(t, int64(3), m.count.Load(), "a moved row is not found, so the secret is minted again")
					require.Len(t, reveal(b), 1)
					return
				}
				require.Error(t, err)
				require.True(t, errors.Is(err, keyring.ErrTampered) || errors.Is(err, keyring.ErrMalformed), "%v", err)
			})
		}
	})
}
