package vault_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault/store"
)

func TestDamage_RotateDataKeys(t *testing.T) {
	t.Run("continues with the other tenants and scopes", func(t *testing.T) {
		w := newWorld(t)
		w.MustPut(t, "acme/api", "A", "one")
		w.MustPut(t, "acme/zoo", "A", "one")
		w.MustPut(t, "initech", "A", "one")
		w.sql(t, "UPDATE secrets SET author = 'mallory' WHERE scope = 'acme/web' AND name = 'C'")
		w.sql(t, "UPDATE secrets SET author = 'mallory' WHERE scope = 'globex'")
		f := w.fresh(t)
		report, err := f.RotateDataKeys(t.Context(), 0)
		require.ErrorIs(t, err, keyring.ErrTampered)
		require.ErrorContains(t, err, "tenant acme: scope acme/web: ")
		require.ErrorContains(t, err, "tenant globex: ")
		require.Equal(t, 3, report.Tenants)
		require.Equal(t, 2, report.Keys, "the root scope of globex is damaged, so it gets no key")
		requireUnderNewest(t, f.Storage, "acme", "acme/api", "acme/zoo", "initech")
	})

	t.Run("does not authenticate a planted token", func(t *testing.T) {
		w := newWorld(t)
		columns := "scope, created, expires, rotate_by, generation, label, waived, thumbprint, key_id, mac, author, revoked, revoked_by"
		w.sql(t, "INSERT INTO tokens (id, hash, "+columns+") SELECT 'AAAAAAAAAAAA', zeroblob(32), "+columns+" FROM tokens WHERE id = ?", tokenID(t, w.token))
		_, err := w.fresh(t).RotateDataKeys(t.Context(), 0)
		require.ErrorIs(t, err, keyring.ErrTampered)
		require.ErrorContains(t, err, "token AAAAAAAAAAAA was changed after it was issued")
	})
}

func TestDamage_Rewrap(t *testing.T) {
	f := newFixture(t)
	f.MustPut(t, "acme", "A", "one")
	f.MustPut(t, "globex", "A", "one")
	f.MustPut(t, "initech", "A", "one")
	next := keyringtest.NewFake("next")
	v := f.rekeyed(t, next, f.KEK)
	damaged := f.record(t, "globex")
	edited := append(keyring.Record{}, damaged...)
	edited[len(edited)-1] ^= 1
	require.NoError(t, f.Storage.Apply(t.Context(), &store.Change{Keys: []store.KeyChange{{Tenant: "globex", Old: damaged, New: edited}}}))

	report, err := v.Rewrap(t.Context())
	require.ErrorIs(t, err, keyring.ErrTampered)
	require.ErrorContains(t, err, "tenant globex: ")
	require.Equal(t, 2, report.Rewrapped, "those of acme and initech")

	t.Run("stops when the key service is unavailable", func(t *testing.T) {
		last := keyringtest.NewFake("last")
		v := f.rekeyed(t, last, next)
		last.Break(keyring.ErrUnavailable)
		report, err := v.Rewrap(t.Context())
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		require.Equal(t, 1, report.Tenants)
	})
}

// record returns the only key record of a tenant.
func (f *fixture) record(t *testing.T, tenant string) keyring.Record {
	t.Helper()
	snap, err := f.Storage.Read(t.Context(), store.Query{Scope: tenant})
	require.NoError(t, err)
	require.Len(t, snap.Keys, 1)
	return snap.Keys[0]
}
