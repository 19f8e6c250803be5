package vault_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

func TestVault_Tenants(t *testing.T) {
	t.Run("yields all tenants in order, over several pages", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			var want []string
			for i := range 250 { // three pages
				tenant := "tenant-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
				want = append(want, tenant)
				f.MustIssue(t, tenant)
			}
			var got []string
			for tenant, err := range f.Tenants(t.Context()) {
				require.NoError(t, err)
				got = append(got, tenant)
			}
			require.Equal(t, want, got)

			got = nil
			for tenant := range f.Tenants(t.Context()) {
				if got = append(got, tenant); len(got) == 120 {
					break
				}
			}
			require.Equal(t, want[:120], got)
		})
	})

	t.Run("yields an error last", func(t *testing.T) {
		f := newFixture(t)
		f.MustIssue(t, "acme")
		f.MustIssue(t, "globex")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var tenants []string
		var errs []error
		for tenant, err := range f.Tenants(ctx) {
			tenants, errs = append(tenants, tenant), append(errs, err)
			cancel()
		}
		require.Equal(t, []string{"acme", ""}, tenants)
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], context.Canceled)

		broken := newFixtureOver(t, &noTenants{memstore.New()}, f.KEK)
		for tenant, err := range broken.Tenants(t.Context()) {
			require.Empty(t, tenant)
			require.ErrorIs(t, err, errDown)
		}
		require.ErrorIs(t, broken.Check(t.Context()), errDown)
	})
}

// noTenants is a storage that cannot list tenants.
type noTenants struct{ store.Store }

func (*noTenants) Tenants(context.Context, string, int) ([]string, error) { return nil, errDown }

func TestVault_Check(t *testing.T) {
	t.Run("calls no key service", func(t *testing.T) {
		f := newFixture(t)
		require.NoError(t, f.Check(t.Context()), "an empty vault needs no key")
		f.MustPut(t, "acme", "A", "x")
		other := f.process(t)
		calls := f.KEK.Wraps() + f.KEK.Unwraps()
		require.NoError(t, other.Check(t.Context()))
		require.Equal(t, calls, f.KEK.Wraps()+f.KEK.Unwraps(), "Check calls no key service")
	})

	t.Run("names the key that is missing", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "x")
		other := newFixtureOver(t, f.Storage.Store, keyringtest.NewFake("other"))
		err := other.Check(t.Context())
		require.ErrorIs(t, err, keyring.ErrNoKey)
		fault, ok := errors.AsType[*bundle.Fault](err)
		require.True(t, ok)
		require.Equal(t, "keyring.Options.Retired", fault.Setting)
		require.False(t, fault.Retryable)
		require.ErrorContains(t, err, `the data keys of tenant acme are wrapped by ["fake:kek"], but the keyring has ["fake:other"]; use a key that wraps them, or add it with Retired`)
	})

	t.Run("accepts retired keys and replicas", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "x")
		for name, opts := range map[string]*keyring.Options{"retired": {Retired: []keyring.KEK{f.KEK}}, "replica": {Replicas: []keyring.KEK{f.KEK}}} {
			keys, err := keyring.New(keyringtest.NewFake("other"), opts)
			require.NoError(t, err)
			v, err := vault.New(t.Context(), f.Storage.Store, keys, &vault.Options{Logger: f.Log.Logger()})
			require.NoError(t, err)
			require.NoError(t, v.Check(t.Context()), name)
		}
	})

	t.Run("finds an unfinished rewrap", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			for i := range 200 {
				f.MustIssue(t, "tenant-"+string(rune('a'+i/26))+string(rune('a'+i%26)))
			}
			other := keyringtest.NewFake("other")
			both, err := keyring.New(other, &keyring.Options{Retired: []keyring.KEK{f.KEK}})
			require.NoError(t, err)
			storage := &mortal{Store: f.Storage.Store}
			storage.die(199)
			v, err := vault.New(t.Context(), storage, both, &vault.Options{Logger: f.Log.Logger()})
			require.NoError(t, err)
			_, err = v.Rewrap(t.Context())
			require.ErrorIs(t, err, errKilled)

			counted := newFixtureOver(t, f.Storage.Store, other)
			require.ErrorIs(t, counted.Check(t.Context()), keyring.ErrNoKey, "the last tenant still needs the old key")
			require.LessOrEqual(t, counted.Storage.Reads.Load(), int64(20), "Check reads a sample")
		})
	})

	t.Run("names the tenant of a malformed record", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "x")
		f.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) { snap.Keys[0] = bytes.Repeat([]byte{7}, 40) })
		err := f.Check(t.Context())
		require.ErrorIs(t, err, keyring.ErrMalformed)
		require.ErrorContains(t, err, "tenant acme")
	})
}

func TestCheckKeys(t *testing.T) {
	f := newFixture(t)
	f.MustPut(t, "acme", "A", "x")
	service := keyringtest.NewFake("other")
	service.Break(keyring.ErrDenied)
	keys, err := keyring.New(service, nil)
	require.NoError(t, err)
	require.ErrorIs(t, vault.CheckKeys(t.Context(), f.Storage.Store, keys), keyring.ErrNoKey, "CheckKeys calls no key service and needs no vault")
	_, err = vault.New(t.Context(), f.Storage.Store, keys, nil)
	require.ErrorIs(t, err, keyring.ErrDenied, "New calls the key service")
	require.ErrorIs(t, vault.CheckKeys(t.Context(), &noTenants{f.Storage}, keys), errDown)
}
