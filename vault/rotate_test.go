package vault_test

import (
	"bytes"
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
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

var errKilled = errors.New("killed")

// mortal is a storage that fails from its n-th Apply on, if n is set.
type mortal struct {
	store.Store
	applies, dies atomic.Int64
}

func (m *mortal) Apply(ctx context.Context, c *store.Change) error {
	if n := m.applies.Add(1); m.dies.Load() > 0 && n >= m.dies.Load() {
		return errKilled
	}
	return m.Store.Apply(ctx, c)
}

// die lets n more calls succeed and fails all later ones.
func (m *mortal) die(n int64) {
	m.applies.Store(0)
	m.dies.Store(n + 1)
}

// runner is a token and the values expected for it.
type runner struct {
	token bundle.Value
	want  map[string]string
}

// estate fills a vault with two tenants, and returns a runner of each.
func (f *fixture) estate(t testing.TB) []runner {
	t.Helper()
	f.MustPut(t, "acme", "A", "old-a")
	f.MustPut(t, "acme", "A", "new-a", vault.PutOptions{Kind: "anthropic"})
	f.MustPut(t, "acme", "B", "b")
	f.MustPut(t, "acme/web/api", "C", "c")
	_, err := f.Hide(t.Context(), "acme/web", "B")
	require.NoError(t, err)
	f.MustPut(t, "globex", "A", "g")
	acme, globex := f.MustIssue(t, "acme/web/api"), f.MustIssue(t, "globex")
	require.NoError(t, f.RevokeToken(t.Context(), tokenID(t, f.MustIssue(t, "acme"))))
	return []runner{{acme, map[string]string{"A": "new-a", "C": "c"}}, {globex, map[string]string{"A": "g"}}}
}

// requireEstate fails the test unless the estate is intact.
func (f *fixture) requireEstate(t testing.TB, estate []runner, about string) {
	t.Helper()
	for _, r := range estate {
		require.Equal(t, r.want, f.Values(t, r.token), about)
	}
	history, err := f.History(t.Context(), "acme", "A")
	require.NoError(t, err, about)
	require.Len(t, history, 2, about)
	require.Equal(t, bundle.NewValue("new-a").Preview(), history[0].Preview, about)
	require.Equal(t, bundle.NewValue("old-a").Preview(), history[1].Preview, about)
	for _, scope := range []string{"acme", "acme/web/api", "globex"} {
		tokens, err := f.Tokens(t.Context(), scope)
		require.NoError(t, err, about)
		require.Len(t, tokens, 1, about)
	}
	for _, tenant := range []string{"acme", "globex"} {
		_, err := f.VerifyAudit(t.Context(), tenant, nil, nil)
		require.NoError(t, err, about)
	}
}

// requireUnderNewest fails the test unless all active rows of scopes are under
// their tenant's newest data key.
func requireUnderNewest(t testing.TB, s store.Store, scopes ...string) {
	t.Helper()
	for _, scope := range scopes {
		snap, err := s.Read(context.Background(), store.Query{Scope: scope, Tokens: true})
		require.NoError(t, err)
		var newest [16]byte
		var born time.Time
		for _, record := range snap.Keys {
			created, err := record.Created()
			require.NoError(t, err)
			id, err := record.ID()
			require.NoError(t, err)
			if created.After(born) || created.Equal(born) && bytes.Compare(id[:], newest[:]) > 0 {
				born, newest = created, id
			}
		}
		state := snap.Path[len(snap.Path)-1]
		require.Equal(t, newest[:], state.Seal[6:22], "the seal of %s", scope)
		for _, row := range state.Secrets {
			require.Equal(t, newest, row.KeyID, "secret %s of %s", row.Name, scope)
		}
		for _, row := range snap.Tokens {
			require.Equal(t, newest, row.KeyID, "token %s of %s", row.ID, scope)
		}
	}
}

var estateScopes = []string{"acme", "acme/web", "acme/web/api", "globex"}

func TestVault_RotateDataKeys(t *testing.T) {
	t.Run("moves all active rows and loses nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			estate := f.estate(t)
			time.Sleep(time.Hour)

			report, err := f.RotateDataKeys(t.Context(), 2*time.Hour)
			require.NoError(t, err)
			require.Equal(t, vault.RotateKeysReport{Tenants: 2}, report, "younger keys are kept")

			report, err = f.RotateDataKeys(t.Context(), time.Hour)
			require.NoError(t, err)
			require.Equal(t, vault.RotateKeysReport{Tenants: 2, Keys: 2, Scopes: 4}, report)
			for _, tenant := range []string{"acme", "globex"} {
				snap, err := f.Storage.Read(t.Context(), store.Query{Scope: tenant})
				require.NoError(t, err)
				require.Len(t, snap.Keys, 2, "the older record stays, for earlier versions")
			}
			requireUnderNewest(t, f.Storage, estateScopes...)
			f.requireEstate(t, estate, "in the same process")
			f.process(t).requireEstate(t, estate, "in another process")

			_, err = f.Activate(t.Context(), "acme", "A", 1)
			require.NoError(t, err, "an earlier version, under the older key, can be activated")
			report, err = f.RotateDataKeys(t.Context(), time.Hour)
			require.NoError(t, err)
			require.Equal(t, vault.RotateKeysReport{Tenants: 2, Scopes: 1}, report, "the next rotation moves it")
			requireUnderNewest(t, f.Storage, estateScopes...)
		})
	})

	t.Run("makes each key newer than the last", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			token := f.MustIssue(t, "acme")
			f.MustPut(t, "acme", "A", "a")
			for range 3 { // within a second of the last key
				_, err := f.RotateDataKeys(t.Context(), 0)
				require.NoError(t, err)
				requireUnderNewest(t, f.Storage, "acme")
			}
			require.Equal(t, map[string]string{"A": "a"}, f.Values(t, token))
		})
	})

	t.Run("creates no key for an invalid actor", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "a")
		report, err := f.RotateDataKeys(vault.WithActor(t.Context(), "a\x00"), 0)
		require.ErrorIs(t, err, vault.ErrInvalid)
		require.Zero(t, report)
		snap, err := f.Storage.Read(t.Context(), store.Query{Scope: "acme"})
		require.NoError(t, err)
		require.Len(t, snap.Keys, 1)
	})

	t.Run("resumes after being killed at any write", func(t *testing.T) {
		for n := int64(0); ; n++ {
			done := false
			synctest.Test(t, func(t *testing.T) {
				storage := &mortal{Store: memstore.New()}
				f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
				estate := f.estate(t)
				time.Sleep(time.Hour)

				storage.die(n)
				_, err := f.RotateDataKeys(t.Context(), time.Hour)
				storage.dies.Store(0)
				if done = err == nil; done {
					return
				}
				require.ErrorIs(t, err, errKilled)
				about := fmt.Sprintf("killed at Apply %d", n+1)
				f.process(t).requireEstate(t, estate, about)

				next := f.process(t)
				_, err = next.RotateDataKeys(t.Context(), time.Hour)
				require.NoError(t, err, about)
				for _, tenant := range []string{"acme", "globex"} {
					snap, err := storage.Read(t.Context(), store.Query{Scope: tenant})
					require.NoError(t, err)
					require.Len(t, snap.Keys, 2, "%s: no third key", about)
				}
				requireUnderNewest(t, storage, estateScopes...)
				next.requireEstate(t, estate, about)
				f.requireEstate(t, estate, about)
			})
			if done {
				require.Equal(t, int64(6), n, "two keys and four scopes")
				return
			}
			if t.Failed() {
				return
			}
		}
	})

	t.Run("disturbs neither writers nor runners", func(t *testing.T) {
		f := newFixture(t)
		other := f.process(t)
		token := f.MustIssue(t, "acme/web")
		f.MustPut(t, "acme/web", "A", "a")
		stop := make(chan struct{})
		var busy, rotating sync.WaitGroup
		for i := range 4 {
			process := []*fixture{f, other}[i%2]
			busy.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					scope := fmt.Sprintf("acme/web/w%d-%d", i, n%20)
					if _, err := process.Put(t.Context(), scope, "B", bundle.NewValue(fmt.Sprint(n)), nil); err != nil {
						t.Errorf("a write failed: %v", err)
					}
					b, err := process.Bootstrap(t.Context(), token, nil)
					if err != nil {
						t.Errorf("a runner was refused: %v", err)
					} else if got := reveal(b)["A"]; got != "a" {
						t.Errorf("a runner got %q", got)
					}
				}
			})
		}
		for range 2 {
			rotating.Go(func() {
				if _, err := f.process(t).RotateDataKeys(t.Context(), 0); err != nil {
					t.Errorf("a rotation failed: %v", err)
				}
			})
		}
		rotating.Wait()
		close(stop)
		busy.Wait()
		_, err := f.RotateDataKeys(t.Context(), time.Hour) // of two concurrent rotations, one may have added its key after the other had moved a scope
		require.NoError(t, err)
		snap, err := f.Storage.Read(t.Context(), store.Query{Scope: "acme", SealsOnly: true, Below: true})
		require.NoError(t, err)
		scopes := append([]string{"acme"}, snap.Below...)
		require.Greater(t, len(scopes), 4)
		requireUnderNewest(t, f.Storage, scopes...)
		require.Zero(t, f.Log.Errors()+other.Log.Errors(), "nothing looked like tampering")
		_, err = f.VerifyAudit(t.Context(), "acme", nil, nil)
		require.NoError(t, err)
	})

	t.Run("moves a scope created during the rotation", func(t *testing.T) {
		for n := int64(1); n <= 4; n++ {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.MustPut(t, "acme", "A", "a")
				time.Sleep(time.Hour)
				other := f.process(t)
				f.Storage.Meanwhile(n, func() { other.MustPut(t, "acme/new", "B", "b") })
				_, err := f.RotateDataKeys(t.Context(), time.Hour)
				require.NoError(t, err)
				requireUnderNewest(t, f.Storage.Store, "acme")
				if snap, err := f.Storage.Store.Read(t.Context(), store.Query{Scope: "acme/new"}); err == nil && snap.Path[1].Seal != nil {
					requireUnderNewest(t, f.Storage.Store, "acme/new")
				}
			})
		}
	})

	t.Run("makes a seal under an older key a rollback", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "a")
			token := f.MustIssue(t, "acme")
			leaked := f.dataKey(t, "acme")
			time.Sleep(time.Hour)
			_, err := f.RotateDataKeys(t.Context(), 0)
			require.NoError(t, err)
			f.Values(t, token)

			f.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) {
				forged := snap.Path[0]
				old, err := snap.Keys[0].ID()
				if err != nil {
					t.Errorf("the older record: %v", err)
				}
				forged.Seal = append([]byte{}, forged.Seal...)
				copy(forged.Seal[6:22], old[:])
				forged.Seal[22] = 1 // an epoch far ahead
				reseal(leaked, &forged)
				snap.Path[0] = forged
			})
			_, err = f.Bootstrap(t.Context(), token, nil)
			require.ErrorIs(t, err, vault.ErrRollback, "an old data key cannot be used to seal")
		})
	})
}

// rekeyed returns the fixture's vault over a new primary KEK.
func (f *fixture) rekeyed(t testing.TB, primary, retired *keyringtest.Fake) *vault.Vault {
	t.Helper()
	keys, err := keyring.New(primary, &keyring.Options{Retired: []keyring.KEK{retired}})
	require.NoError(t, err)
	v, err := vault.New(t.Context(), f.Storage, keys, &vault.Options{Logger: f.Log.Logger()})
	require.NoError(t, err)
	return v
}

func TestVault_Rewrap(t *testing.T) {
	t.Run("moves each record once with one unwrap and one wrap", func(t *testing.T) {
		f := newFixture(t)
		estate := f.estate(t)
		next := keyringtest.NewFake("next")
		v := f.rekeyed(t, next, f.KEK)
		unwraps, wraps := f.KEK.Unwraps(), next.Wraps()

		report, err := v.Rewrap(t.Context())
		require.NoError(t, err)
		require.Equal(t, vault.RewrapReport{Tenants: 2, Records: 2, Rewrapped: 2}, report)
		require.Equal(t, 2, f.KEK.Unwraps()-unwraps, "one call to open each record")
		require.Equal(t, 2, next.Wraps()-wraps, "one call to wrap each")

		calls, applies := next.Wraps()+next.Unwraps()+f.KEK.Unwraps(), f.Storage.Applies.Load()
		report, err = v.Rewrap(t.Context())
		require.NoError(t, err)
		require.Equal(t, vault.RewrapReport{Tenants: 2, Records: 2}, report, "there is nothing left to do")
		require.Equal(t, calls, next.Wraps()+next.Unwraps()+f.KEK.Unwraps())
		require.Equal(t, applies, f.Storage.Applies.Load())

		next.Rotate()
		next.Rotate()
		f.KEK.Break(keyring.ErrDenied)
		newFixtureOver(t, f.Storage.Store, next).requireEstate(t, estate, "without the retired KEK")
	})

	t.Run("leaves a record that a concurrent rewrap replaced", func(t *testing.T) {
		f := newFixture(t)
		estate := f.estate(t)
		next := keyringtest.NewFake("next")
		v, other := f.rekeyed(t, next, f.KEK), f.rekeyed(t, next, f.KEK)
		f.Storage.Meanwhile(1, func() {
			report, err := other.Rewrap(t.Context())
			if err != nil || report.Rewrapped != 2 {
				t.Errorf("the other rewrap: %+v, %v", report, err)
			}
		})
		report, err := v.Rewrap(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, report.Rewrapped, 0, "the first record was rewrapped meanwhile, the second before it was read")
		newFixtureOver(t, f.Storage.Store, next).requireEstate(t, estate, "without the retired KEK")
	})

	t.Run("resumes after being killed", func(t *testing.T) {
		storage := &mortal{Store: memstore.New()}
		f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
		estate := f.estate(t)
		next := keyringtest.NewFake("next")
		v := f.rekeyed(t, next, f.KEK)
		storage.die(1)
		report, err := v.Rewrap(t.Context())
		storage.dies.Store(0)
		require.ErrorIs(t, err, errKilled)
		require.Equal(t, 1, report.Rewrapped, "the report counts the work done so far")
		report, err = v.Rewrap(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, report.Rewrapped)
		newFixtureOver(t, storage, next).requireEstate(t, estate, "without the retired KEK")
	})

	t.Run("logs a missing key differently from tampering", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "a")
		token := f.MustIssue(t, "acme")
		// Another process has moved on to a key that this one does not have.
		_, err := f.rekeyed(t, keyringtest.NewFake("next"), f.KEK).Rewrap(t.Context())
		require.NoError(t, err)
		behind := f.process(t)
		_, err = behind.Bootstrap(t.Context(), token, nil)
		require.ErrorIs(t, err, keyring.ErrNoKey)
		require.Equal(t, 1, behind.Log.Errors(), "an operator must configure the key")
		require.Contains(t, behind.Log.Text(), `msg="stored rows need a key that is not configured"`)
		require.NotContains(t, behind.Log.Text(), "refused stored rows", "that message reports tampering")
	})
}

func TestVault_RotateToken(t *testing.T) {
	t.Run("keeps the old token valid for the overlap only", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			other := f.process(t)
			f.MustPut(t, "acme", "A", "a")
			old, info, err := f.IssueToken(t.Context(), "acme", &vault.TokenOptions{
				Label: "pool", Waive: []string{"X"}, Expires: time.Now().Add(48 * time.Hour), RotateBy: time.Now().Add(24 * time.Hour),
			})
			require.NoError(t, err)
			time.Sleep(12 * time.Hour)

			ctx := vault.WithActor(t.Context(), "ada")
			token, next, err := f.RotateToken(ctx, info.ID, &vault.RotateTokenOptions{Overlap: 10 * time.Minute})
			require.NoError(t, err)
			require.NotEqual(t, info.ID, next.ID)
			require.Equal(t, "pool", next.Label)
			require.Equal(t, []string{"X"}, next.Waived)
			require.Equal(t, "ada", next.Author)
			require.Equal(t, info.Expires.Add(12*time.Hour), next.Expires, "it has the lifetime of the old one")
			require.Equal(t, info.RotateBy.Add(12*time.Hour), next.RotateBy)

			for _, process := range []*fixture{f, other} {
				require.Equal(t, map[string]string{"A": "a"}, process.Values(t, old), "both work")
				require.Equal(t, map[string]string{"A": "a"}, process.Values(t, token))
			}
			end := next.Created.Add(10 * time.Minute)
			require.Equal(t, end, f.Bundle(t, old).Meta().TokenExpires, "the bundle carries the end")
			time.Sleep(time.Until(end) - time.Microsecond)
			f.Values(t, old)
			time.Sleep(time.Until(end))
			for _, process := range []*fixture{f, other} {
				_, err = process.Bootstrap(t.Context(), old, nil)
				requireReason(t, err, vault.TokenRevoked, "the overlap is over")
				require.Equal(t, map[string]string{"A": "a"}, process.Values(t, token))
			}
		})
	})

	t.Run("does not extend the old token when repeated", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "a")
			old := f.MustIssue(t, "acme")
			_, _, err := f.RotateToken(t.Context(), tokenID(t, old), &vault.RotateTokenOptions{Overlap: time.Minute})
			require.NoError(t, err)
			_, next, err := f.RotateToken(t.Context(), tokenID(t, old), nil)
			require.NoError(t, err)
			require.True(t, next.Expires.IsZero())
			time.Sleep(time.Minute)
			_, err = f.Bootstrap(t.Context(), old, nil)
			requireReason(t, err, vault.TokenRevoked, "the earlier end stays")
		})
	})

	t.Run("rejects an ended or unknown token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			revoked, expired := f.MustIssue(t, "acme"), f.MustIssue(t, "acme", vault.TokenOptions{Expires: time.Now().Add(time.Minute)})
			require.NoError(t, f.RevokeToken(t.Context(), tokenID(t, revoked)))
			time.Sleep(time.Minute)
			for _, token := range []bundle.Value{revoked, expired} {
				_, _, err := f.RotateToken(t.Context(), tokenID(t, token), nil)
				require.ErrorIs(t, err, vault.ErrInvalid)
			}
			_, _, err := f.RotateToken(t.Context(), "unknown", nil)
			require.ErrorIs(t, err, vault.ErrNotFound)
			tokens, err := f.Tokens(t.Context(), "acme")
			require.NoError(t, err)
			require.Len(t, tokens, 2, "no token was issued")
		})
	})

	t.Run("issues no successor to a token revoked meanwhile", func(t *testing.T) {
		f := newFixture(t)
		other := f.process(t)
		id := tokenID(t, f.MustIssue(t, "acme"))
		f.Storage.Meanwhile(1, func() {
			if err := other.RevokeToken(t.Context(), id); err != nil {
				t.Errorf("revoking: %v", err)
			}
		})
		_, _, err := f.RotateToken(t.Context(), id, nil)
		require.ErrorIs(t, err, vault.ErrInvalid)
		tokens, err := other.Tokens(t.Context(), "acme")
		require.NoError(t, err)
		require.Len(t, tokens, 1)
	})

	t.Run("rejects invalid options", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			id := tokenID(t, f.MustIssue(t, "acme"))
			late := tokenID(t, f.MustIssue(t, "acme", vault.TokenOptions{Expires: time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC)}))
			time.Sleep(2 * time.Hour)
			for about, try := range map[string]struct {
				id   string
				opts *vault.RotateTokenOptions
			}{
				"a negative overlap":                   {id, &vault.RotateTokenOptions{Overlap: -1}},
				"an expiry in the past":                {id, &vault.RotateTokenOptions{Expires: time.Now().Add(-time.Second)}},
				"an expiry after the year 9999":        {id, &vault.RotateTokenOptions{Expires: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}},
				"a rotation hint after the year 9999":  {id, &vault.RotateTokenOptions{RotateBy: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}},
				"a default expiry after the year 9999": {late, nil},
			} {
				_, _, err := f.RotateToken(t.Context(), try.id, try.opts)
				require.ErrorIs(t, err, vault.ErrInvalid, about)
			}
		})
	})
}

func TestVault_RotateTokenSeal(t *testing.T) {
	for about, attack := range map[string]string{
		"removed":           "UPDATE tokens SET revoked = 0, revoked_by = '' WHERE id = ?",
		"postponed":         "UPDATE tokens SET revoked = revoked + 3600000000 WHERE id = ?",
		"moved to the past": "UPDATE tokens SET revoked = 1 WHERE id = ?",
	} {
		t.Run(about, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "vault.db")
			f := openSQLite(t, file, keyringtest.NewFake("kek"))
			f.MustPut(t, "acme", "A", "a")
			old := f.MustIssue(t, "acme")
			token, _, err := f.RotateToken(t.Context(), tokenID(t, old), nil)
			require.NoError(t, err)
			f.Values(t, old)
			_, err = openDB(t, file).Exec(attack, tokenID(t, old))
			require.NoError(t, err)
			for _, process := range []*fixture{f, openSQLite(t, file, f.KEK)} {
				_, err = process.Bootstrap(t.Context(), old, nil)
				if about == "moved to the past" {
					require.Error(t, err)
				} else {
					require.ErrorIs(t, err, keyring.ErrTampered)
				}
				_, err = process.Bootstrap(t.Context(), token, nil)
				require.ErrorIs(t, err, keyring.ErrTampered, "the seal covers the revocations of the scope's tokens")
			}
		})
	}
}
