package vault_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/store"
)

// fifty stores fifty secrets in the three scopes of a path, and returns a token for the
// last scope.
func (f *fixture) fifty(t testing.TB) bundle.Value {
	t.Helper()
	for i := range 50 {
		scope := []string{"acme", "acme/web", "acme/web/pool-a"}[i%3]
		f.put(t, scope, fmt.Sprintf("SECRET_%02d", i), fmt.Sprintf("%0256d", i))
	}
	return f.issue(t, "acme/web/pool-a")
}

func TestKeyCalls_Bootstrap(t *testing.T) {
	t.Run("takes one call for fifty secrets, and none from then on", func(t *testing.T) {
		f := newFixture(t)
		token := f.fifty(t)
		cold := f.process(t)
		wraps, unwraps := f.kek.Wraps(), f.kek.Unwraps()
		require.Equal(t, 50, cold.bundle(t, token).Len())
		require.Equal(t, unwraps+1, f.kek.Unwraps(), "one call with a cold cache")
		for range 10 {
			require.Equal(t, 50, cold.bundle(t, token).Len())
		}
		require.Equal(t, unwraps+1, f.kek.Unwraps(), "no call with a warm cache")
		require.Equal(t, wraps, f.kek.Wraps(), "reading wraps nothing")
	})

	t.Run("shares one call among a hundred concurrent requests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			token := f.fifty(t)
			cold := f.process(t)
			unwraps := f.kek.Unwraps()
			f.kek.Delay(5 * time.Millisecond)
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if _, err := cold.Bootstrap(t.Context(), token, nil); err != nil {
						t.Errorf("bootstrap: %v", err)
					}
				})
			}
			wg.Wait()
			require.Equal(t, unwraps+1, f.kek.Unwraps())
		})
	})

	t.Run("takes no extra call to record a delivery", func(t *testing.T) {
		f := newFixture(t)
		f.put(t, "acme", "A", "x")
		token := f.issue(t, "acme")
		keys, err := keyring.New(f.kek, &keyring.Options{SoftAge: 1}) // every OpenKey is a call
		require.NoError(t, err)
		v, err := vault.New(t.Context(), f.storage, keys, &vault.Options{Logger: f.log.logger()})
		require.NoError(t, err)
		unwraps := f.kek.Unwraps()
		for i := range 3 {
			_, err := v.Bootstrap(t.Context(), token, nil)
			require.NoError(t, err)
			require.Equal(t, unwraps+i+1, f.kek.Unwraps(), "the entry uses the data key that the delivery has open")
		}
	})

	t.Run("opens nothing for an unchanged poll", func(t *testing.T) {
		f := newFixture(t)
		token := f.fifty(t)
		revision := f.bundle(t, token).Revision()
		cold := f.process(t)
		wraps, unwraps := f.kek.Wraps(), f.kek.Unwraps()
		f.kek.Break(keyring.ErrUnavailable)
		onlySeals := true
		cold.storage.onRead(func(q store.Query, _ *store.Snapshot) { onlySeals = onlySeals && q.SealsOnly })
		reads := cold.storage.reads.Load()
		for range 5 {
			_, err := cold.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: revision})
			require.ErrorIs(t, err, vault.ErrUnchanged, "an outage of the key service has no effect")
		}
		require.Equal(t, wraps, f.kek.Wraps())
		require.Equal(t, unwraps, f.kek.Unwraps())
		require.Equal(t, reads+5, cold.storage.reads.Load())
		require.True(t, onlySeals, "no message is read, so none is opened")
	})
}

func TestKeyCalls_DataKey(t *testing.T) {
	t.Run("is one for all writes of a tenant", func(t *testing.T) {
		f := newFixture(t)
		wraps := f.kek.Wraps()
		f.fifty(t)
		require.Equal(t, wraps+1, f.kek.Wraps(), "writes share the tenant's data key")
		f.put(t, "globex", "A", "x")
		require.Equal(t, wraps+2, f.kek.Wraps(), "another tenant has another data key")
	})

	t.Run("is the newest one for a write and that of the row for a read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.put(t, "acme", "OLD", "x")
			token := f.issue(t, "acme/web")
			time.Sleep(2 * time.Second)
			f.addKey(t, "acme")
			f.put(t, "acme", "NEW", "y")
			f.put(t, "acme/web", "NEAR", "z")

			snap, err := f.storage.Read(t.Context(), store.Query{Scope: "acme/web"})
			require.NoError(t, err)
			rows := map[string][16]byte{}
			for _, s := range snap.Path {
				for _, row := range s.Secrets {
					rows[row.Name] = row.KeyID
				}
			}
			require.NotEqual(t, rows["OLD"], rows["NEW"])
			require.Equal(t, rows["NEW"], rows["NEAR"])

			cold := f.process(t)
			unwraps := f.kek.Unwraps()
			require.Equal(t, map[string]string{"OLD": "x", "NEW": "y", "NEAR": "z"}, cold.values(t, token))
			require.Equal(t, unwraps+2, f.kek.Unwraps(), "each data key in use takes one call")
			_, err = cold.History(t.Context(), "acme", "OLD")
			require.NoError(t, err)
		})
	})

	t.Run("older than the last one seen counts as a rollback", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.put(t, "acme", "A", "x")
			token := f.issue(t, "acme")
			leaked, old := f.dataKey(t, "acme"), f.bundle(t, token)
			before, err := f.storage.Read(t.Context(), store.Query{Scope: "acme"})
			require.NoError(t, err)
			time.Sleep(2 * time.Second)
			f.addKey(t, "acme")
			f.put(t, "acme", "A", "y")
			require.NotEqual(t, reveal(old), f.values(t, token))

			// An attacker with the old data key can make seals under it, with any epoch.
			forged := before.Path[0]
			binary.BigEndian.PutUint64(forged.Seal[22:], 1000)
			reseal(leaked, &forged)
			f.storage.onRead(func(q store.Query, snap *store.Snapshot) { snap.Path[0] = forged })
			_, err = f.Bootstrap(t.Context(), token, nil)
			require.ErrorIs(t, err, vault.ErrRollback)
		})
	})
}

func TestList_OpensNoValue(t *testing.T) {
	f := newFixture(t)
	f.put(t, "acme", "A", "sk-ant-api03-0123456789abcdefghijklmnop")
	token := f.issue(t, "acme")
	// Replace the message by one that cannot be opened, with a MAC and a seal that
	// cover it: opening the value fails.
	key := f.dataKey(t, "acme")
	f.storage.onRead(func(_ store.Query, snap *store.Snapshot) {
		for i := range snap.Path[0].Secrets {
			spoil(t, key, &snap.Path[0].Secrets[i])
		}
		for i := range snap.Versions {
			spoil(t, key, &snap.Versions[i])
		}
		if snap.Path[0].Secrets != nil {
			reseal(key, &snap.Path[0])
		}
	})
	_, err := f.Bootstrap(t.Context(), token, nil)
	require.ErrorIs(t, err, keyring.ErrTampered)
	require.NotContains(t, err.Error(), "seal", "opening the message fails, not checking the seal")
	list, err := f.List(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, "sk-a****mnop", list[0].Preview)
	_, err = f.History(t.Context(), "acme", "A")
	require.NoError(t, err)
}

func TestKeyCalls_Outage(t *testing.T) {
	t.Run("serves runners from data keys in memory for an hour", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.put(t, "acme", "A", "one")
			token := f.issue(t, "acme")
			f.bundle(t, token)
			cold := f.process(t)
			f.kek.Break(keyring.ErrUnavailable)

			for range 3 {
				_, err := cold.Bootstrap(t.Context(), token, nil)
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				_, err = cold.Put(t.Context(), "acme", "A", bundle.NewValue("two"), nil)
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				_, err = cold.List(t.Context(), "acme")
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				_, _, err = f.IssueToken(t.Context(), "initech", nil)
				require.ErrorIs(t, err, keyring.ErrUnavailable, "a new tenant needs a new key")
			}
			require.Equal(t, map[string]string{"A": "one"}, f.values(t, token))
			f.put(t, "acme", "A", "two")
			time.Sleep(50 * time.Minute)
			require.Equal(t, map[string]string{"A": "two"}, f.values(t, token), "a vault with cached keys serves and writes for an hour")
			time.Sleep(11 * time.Minute)
			_, err := f.Bootstrap(t.Context(), token, nil)
			require.ErrorIs(t, err, keyring.ErrUnavailable, "and no longer")

			f.kek.Break(nil)
			time.Sleep(31 * time.Second)
			require.Equal(t, map[string]string{"A": "two"}, f.values(t, token))
			require.Equal(t, map[string]string{"A": "two"}, cold.values(t, token))
		})
	})

	t.Run("stops serving when access to the key is denied", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, class := range []error{keyring.ErrDenied, keyring.ErrKeyState} {
				f := newFixture(t)
				f.put(t, "acme", "A", "one")
				token := f.issue(t, "acme")
				f.bundle(t, token)
				f.kek.Break(class)
				time.Sleep(17 * time.Minute)
				_, err := f.Bootstrap(t.Context(), token, nil)
				require.ErrorIs(t, err, class, "access to the key is denied")
				f.kek.Break(nil)
				require.Equal(t, map[string]string{"A": "one"}, f.values(t, token))
			}
		})
	})
}

// addKey adds a data key to a tenant, as a rotation does.
func (f *fixture) addKey(t *testing.T, tenant string) {
	t.Helper()
	keys, err := keyring.New(f.kek, nil)
	require.NoError(t, err)
	key, record, err := keys.NewKey(t.Context(), keyring.Context{"purpose": "data-key", "tenant": tenant})
	require.NoError(t, err)
	key.Destroy()
	require.NoError(t, f.storage.Apply(t.Context(), &store.Change{Keys: []store.KeyChange{{Tenant: tenant, New: record}}}))
}

// spoil makes a row's value impossible to open, and updates the MAC of the row.
func spoil(t *testing.T, mac macFunc, row *store.SecretRow) {
	t.Helper()
	row.Message[len(row.Message)-1] ^= 1
	row.MAC = mac("skv/v1 version row", versionInput(row))
}
