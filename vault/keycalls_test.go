package vault_test

import (
	"encoding/binary"
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

func TestKeyCalls_Bootstrap(t *testing.T) {
	t.Run("takes one call for fifty secrets, and none from then on", func(t *testing.T) {
		f := newFixture(t)
		token := f.Fifty(t)
		cold := f.process(t)
		wraps, unwraps := f.KEK.Wraps(), f.KEK.Unwraps()
		require.Equal(t, 50, cold.Bundle(t, token).Len())
		require.Equal(t, unwraps+1, f.KEK.Unwraps(), "one call with a cold cache")
		for range 10 {
			require.Equal(t, 50, cold.Bundle(t, token).Len())
		}
		require.Equal(t, unwraps+1, f.KEK.Unwraps(), "no call with a warm cache")
		require.Equal(t, wraps, f.KEK.Wraps(), "reading wraps nothing")
	})

	t.Run("shares one call among a hundred concurrent requests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			token := f.Fifty(t)
			cold := f.process(t)
			unwraps := f.KEK.Unwraps()
			f.KEK.Delay(5 * time.Millisecond)
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if _, err := cold.Bootstrap(t.Context(), token, nil); err != nil {
						t.Errorf("bootstrap: %v", err)
					}
				})
			}
			wg.Wait()
			require.Equal(t, unwraps+1, f.KEK.Unwraps())
		})
	})

	t.Run("takes no extra call to record a delivery", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "x")
		token := f.MustIssue(t, "acme")
		keys, err := keyring.New(f.KEK, &keyring.Options{SoftAge: 1}) // every OpenKey is a call
		require.NoError(t, err)
		v, err := vault.New(t.Context(), f.Storage, keys, &vault.Options{Logger: f.Log.Logger()})
		require.NoError(t, err)
		unwraps := f.KEK.Unwraps()
		for i := range 3 {
			_, err := v.Bootstrap(t.Context(), token, nil)
			require.NoError(t, err)
			require.Equal(t, unwraps+i+1, f.KEK.Unwraps(), "the entry uses the data key that the delivery has open")
		}
	})

	t.Run("opens nothing for an unchanged poll", func(t *testing.T) {
		f := newFixture(t)
		token := f.Fifty(t)
		revision := f.Bundle(t, token).Revision()
		cold := f.process(t)
		_, err := cold.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: revision})
		require.ErrorIs(t, err, vault.ErrUnchanged, "the first poll of a process verifies the rows")
		wraps, unwraps := f.KEK.Wraps(), f.KEK.Unwraps()
		f.KEK.Break(keyring.ErrUnavailable)
		onlySeals := true
		cold.Storage.OnRead(func(q store.Query, _ *store.Snapshot) { onlySeals = onlySeals && q.SealsOnly })
		reads := cold.Storage.Reads.Load()
		for range 5 {
			_, err := cold.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: revision})
			require.ErrorIs(t, err, vault.ErrUnchanged, "an outage of the key service has no effect")
		}
		require.Equal(t, wraps, f.KEK.Wraps())
		require.Equal(t, unwraps, f.KEK.Unwraps())
		require.Equal(t, reads+5, cold.Storage.Reads.Load())
		require.True(t, onlySeals, "no message is read, so none is opened")
	})
}

func TestKeyCalls_DataKey(t *testing.T) {
	t.Run("is one for all writes of a tenant", func(t *testing.T) {
		f := newFixture(t)
		wraps := f.KEK.Wraps()
		f.Fifty(t)
		require.Equal(t, wraps+1, f.KEK.Wraps(), "writes share the tenant's data key")
		f.MustPut(t, "globex", "A", "x")
		require.Equal(t, wraps+2, f.KEK.Wraps(), "another tenant has another data key")
	})

	t.Run("is the newest one for a write and that of the row for a read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "OLD", "x")
			token := f.MustIssue(t, "acme/web")
			time.Sleep(2 * time.Second)
			f.addKey(t, "acme")
			f.MustPut(t, "acme", "NEW", "y")
			f.MustPut(t, "acme/web", "NEAR", "z")

			snap, err := f.Storage.Read(t.Context(), store.Query{Scope: "acme/web"})
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
			unwraps := f.KEK.Unwraps()
			require.Equal(t, map[string]string{"OLD": "x", "NEW": "y", "NEAR": "z"}, cold.Values(t, token))
			require.Equal(t, unwraps+2, f.KEK.Unwraps(), "each data key in use takes one call")
			_, err = cold.History(t.Context(), "acme", "OLD")
			require.NoError(t, err)
		})
	})

	t.Run("older than the last one seen counts as a rollback", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "x")
			token := f.MustIssue(t, "acme")
			leaked, old := f.dataKey(t, "acme"), f.Bundle(t, token)
			before, err := f.Storage.Read(t.Context(), store.Query{Scope: "acme"})
			require.NoError(t, err)
			time.Sleep(2 * time.Second)
			f.addKey(t, "acme")
			f.MustPut(t, "acme", "A", "y")
			require.NotEqual(t, reveal(old), f.Values(t, token))

			// An attacker with the old data key can make seals under it, with any epoch.
			forged := before.Path[0]
			binary.BigEndian.PutUint64(forged.Seal[22:], 1000)
			reseal(leaked, &forged)
			f.Storage.OnRead(func(q store.Query, snap *store.Snapshot) { snap.Path[0] = forged })
			_, err = f.Bootstrap(t.Context(), token, nil)
			require.ErrorIs(t, err, vault.ErrRollback)
		})
	})
}

func TestVault_ListWithoutValue(t *testing.T) {
	f := newFixture(t)
	f.MustPut(t, "acme", "A", "sk-ant-api03-0123456789abcdefghijklmnop")
	token := f.MustIssue(t, "acme")
	// Replace the message by one that cannot be opened, with a MAC and a seal that
	// cover it: opening the value fails.
	key := f.dataKey(t, "acme")
	f.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) {
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
			f.MustPut(t, "acme", "A", "one")
			token := f.MustIssue(t, "acme")
			f.Bundle(t, token)
			cold := f.process(t)
			f.KEK.Break(keyring.ErrUnavailable)

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
			require.Equal(t, map[string]string{"A": "one"}, f.Values(t, token))
			f.MustPut(t, "acme", "A", "two")
			time.Sleep(50 * time.Minute)
			require.Equal(t, map[string]string{"A": "two"}, f.Values(t, token), "a vault with cached keys serves and writes for an hour")
			time.Sleep(11 * time.Minute)
			_, err := f.Bootstrap(t.Context(), token, nil)
			require.ErrorIs(t, err, keyring.ErrUnavailable, "and no longer")

			f.KEK.Break(nil)
			time.Sleep(31 * time.Second)
			require.Equal(t, map[string]string{"A": "two"}, f.Values(t, token))
			require.Equal(t, map[string]string{"A": "two"}, cold.Values(t, token))
		})
	})

	t.Run("stops serving when access to the key is denied", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, class := range []error{keyring.ErrDenied, keyring.ErrKeyState} {
				f := newFixture(t)
				f.MustPut(t, "acme", "A", "one")
				token := f.MustIssue(t, "acme")
				f.Bundle(t, token)
				f.KEK.Break(class)
				time.Sleep(17 * time.Minute)
				_, err := f.Bootstrap(t.Context(), token, nil)
				require.ErrorIs(t, err, class, "access to the key is denied")
				f.KEK.Break(nil)
				require.Equal(t, map[string]string{"A": "one"}, f.Values(t, token))
			}
		})
	})
}

// addKey adds a data key to a tenant, as a rotation does.
func (f *fixture) addKey(t *testing.T, tenant string) {
	t.Helper()
	keys, err := keyring.New(f.KEK, nil)
	require.NoError(t, err)
	key, record, err := keys.NewKey(t.Context(), keyring.Context{"purpose": "data-key", "tenant": tenant})
	require.NoError(t, err)
	key.Destroy()
	require.NoError(t, f.Storage.Apply(t.Context(), &store.Change{Keys: []store.KeyChange{{Tenant: tenant, New: record}}}))
}

// spoil makes a row's value impossible to open, and updates the MAC of the row.
func spoil(t *testing.T, mac macFunc, row *store.SecretRow) {
	t.Helper()
	row.Message[len(row.Message)-1] ^= 1
	row.MAC = mac("skv/v1 version row", versionInput(row))
}
