package vault_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/internal/vaultfixture"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

var (
	healthy    = vault.Health{Ready: true}
	emptyStore = vault.Health{Detail: "Nothing is stored here yet: store a secret or issue a token, or check that this is the right database."}
	wrongKeys  = vault.Health{Detail: "The configured keys do not open the stored data."}
)

func TestVault_Health(t *testing.T) {
	t.Run("follows the key service and storage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const clue = "clue-from-the-service"
			first := newFixture(t)
			first.MustPut(t, "acme", "A", "a")
			kek := first.KEK
			kek.Break(keyring.ErrUnavailable)
			f := first.process(t)
			require.Equal(t, vault.Health{Detail: "The key service has not responded since this process started."}, f.Health(t.Context()))
			kek.Break(nil)
			time.Sleep(2 * time.Minute) // the keyring caches its check for one minute
			require.Equal(t, healthy, f.Health(t.Context()))
			kek.Break(keyring.ErrUnavailable)
			time.Sleep(2 * time.Minute)
			require.Equal(t, vault.Health{Ready: true, Detail: "The key service is unavailable; serving with the data keys in memory."}, f.Health(t.Context()))
			kek.Break(keyring.ErrDenied)
			time.Sleep(2 * time.Minute)
			require.Equal(t, vault.Health{Detail: "The key service rejected the vault's request."}, f.Health(t.Context()))
			kek.Break(nil)
			time.Sleep(2 * time.Minute)
			for _, failure := range []*vaultfixture.Failure{&f.Storage.Down, &f.Storage.FailApply} {
				require.Equal(t, healthy, f.Health(t.Context()))
				failure.Set(errors.New(clue))
				require.Equal(t, vault.Health{Detail: "Storage is unavailable."}, f.Health(t.Context()), "the response does not contain the error")
				require.Contains(t, f.Log.Text(), clue, "the log contains it")
				failure.Set(nil)
			}
		})
	})

	t.Run("needs a tenant in storage", func(t *testing.T) {
		f := newFixture(t)
		require.Equal(t, emptyStore, f.Health(t.Context()))
		_, err := f.Info(t.Context(), "acme", "A")
		require.ErrorIs(t, err, vault.ErrNotFound)
		require.Equal(t, emptyStore, f.Health(t.Context()), "reading stores nothing")
		_, _, err = f.AddAdministrator(t.Context(), "ada", &vault.AdministratorOptions{Scopes: []string{"*"}})
		require.NoError(t, err)
		require.Equal(t, emptyStore, f.Health(t.Context()), "an administrator belongs to no tenant")
		f.MustPut(t, "acme", "A", "a")
		require.Equal(t, healthy, f.Health(t.Context()))

		f = newFixture(t)
		require.Equal(t, emptyStore, f.Health(t.Context()))
		f.MustIssue(t, "acme")
		require.Equal(t, healthy, f.Health(t.Context()))
	})

	t.Run("needs the key of the stored data", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := memstore.New()
			kek := func(id, key string) keyring.KEK {
				kek, err := local.New(id, []byte(key))
				require.NoError(t, err)
				return kek
			}
			right, other := "the key of thirty-two bytes, one", "the key of thirty-two bytes, two"
			v := vaultfixture.NewVault(t, storage, kek("a", right), &vaultfixture.Logbook{}, nil)
			_, err := v.Put(t.Context(), "acme", "A", bundle.NewValue("a"), nil)
			require.NoError(t, err)
			require.Equal(t, healthy, v.Health(t.Context()))
			log := &vaultfixture.Logbook{}
			require.Equal(t, wrongKeys, vaultfixture.NewVault(t, storage, kek("b", right), log, nil).Health(t.Context()), "another id")
			require.Contains(t, log.Text(), "local:b")
			require.Equal(t, wrongKeys, vaultfixture.NewVault(t, storage, kek("a", other), log, nil).Health(t.Context()), "another key with this id")
			require.Equal(t, healthy, vaultfixture.NewVault(t, storage, kek("a", right), log, nil).Health(t.Context()))
		})
	})

	t.Run("checks that key for a minute, and a wrong one for ten seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "a")
			checks := func(v *fixture, after time.Duration) int64 {
				time.Sleep(after)
				before := v.Storage.Reads.Load()
				v.Health(t.Context())
				return v.Storage.Reads.Load() - before
			}
			require.Positive(t, checks(f, 0))
			require.Zero(t, checks(f, 59*time.Second))
			require.Positive(t, checks(f, 2*time.Second))
			wrong := newFixtureOver(t, f.Storage.Store, keyringtest.NewFake("other"))
			require.Positive(t, checks(wrong, 0))
			require.Zero(t, checks(wrong, 9*time.Second))
			require.Positive(t, checks(wrong, 2*time.Second))
		})
	})

	t.Run("does not depend on a damaged tenant", func(t *testing.T) {
		storage := memstore.New()
		f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
		f.MustPut(t, "acme", "A", "a")
		f.MustPut(t, "globex", "A", "g")
		snap, err := storage.Read(t.Context(), store.Query{Scope: "acme"})
		require.NoError(t, err)
		damaged := append(keyring.Record{}, snap.Keys[0]...)
		damaged[len(damaged)-1] ^= 1
		require.NoError(t, storage.Apply(t.Context(), &store.Change{Keys: []store.KeyChange{{Tenant: "acme", Old: snap.Keys[0], New: damaged}}}))
		require.Equal(t, healthy, f.process(t).Health(t.Context()))
	})

	t.Run("needs audit sinks that can record", func(t *testing.T) {
		file, err := audit.NewFileSink(filepath.Join(t.TempDir(), "audit.jsonl"))
		require.NoError(t, err)
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "a")
		strict := f.with(t, vault.Options{Audit: []audit.Sink{file}})
		relaxed := f.with(t, vault.Options{Audit: []audit.Sink{file}, AuditBestEffort: true})
		require.Equal(t, healthy, strict.Health(t.Context()))
		require.NoError(t, file.Close())
		require.Equal(t, vault.Health{Detail: "Audit entries cannot be recorded."}, strict.Health(t.Context()))
		require.Contains(t, strict.Log.Text(), "the audit file is closed")
		require.Equal(t, healthy, relaxed.Health(t.Context()))
	})
}

// forgotten is a storage that has lost its rows while on is true.
type forgotten struct {
	store.Store
	on bool
}

func (s *forgotten) rows() store.Store {
	if s.on {
		return memstore.New()
	}
	return s.Store
}

func (s *forgotten) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	return s.rows().Read(ctx, q)
}

func (s *forgotten) Tenants(ctx context.Context, after string, limit int) ([]string, error) {
	return s.rows().Tenants(ctx, after, limit)
}

func TestVault_BootstrapEmpty(t *testing.T) {
	storage := &forgotten{Store: memstore.New()}
	f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
	f.MustPut(t, "acme", "A", "a")
	token := f.MustIssue(t, "acme")
	revision := f.Bundle(t, token).Revision()
	requests := []*vault.BootstrapRequest{nil, {IfNoneMatch: revision}, {IfNoneMatch: revision, Wait: time.Second}}

	storage.on = true
	for _, process := range []*fixture{f, f.process(t)} {
		for _, req := range requests {
			_, err := process.Bootstrap(t.Context(), token, req)
			require.ErrorIs(t, err, vault.ErrEmpty, "a vault without any tenant does not know whether the token exists")
		}
		require.False(t, process.Health(t.Context()).Ready)
	}
	other := newFixture(t)
	other.MustPut(t, "globex", "A", "a")
	for _, req := range requests {
		_, err := other.Bootstrap(t.Context(), token, req)
		requireReason(t, err, vault.TokenUnknown, "another tenant exists")
	}
	f.Storage.Down.Set(errors.New("down"))
	_, err := f.Bootstrap(t.Context(), token, nil)
	require.NotErrorIs(t, err, vault.ErrEmpty)
	f.Storage.Down.Set(nil)
	storage.on = false
	require.Equal(t, map[string]string{"A": "a"}, f.Values(t, token))
}

func TestVault_BootstrapReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "a")
		token := f.MustIssue(t, "acme")
		other := vaultfixture.Over(t, memstore.New(), keyringtest.NewFake("other"), nil)
		other.MustPut(t, "acme", "A", "b")
		require.Equal(t, healthy, f.Health(t.Context()))

		f.Storage.Store = other.Storage.Store
		time.Sleep(time.Minute) // a check of the keys counts for a minute
		_, err := f.Bootstrap(t.Context(), token, nil)
		require.ErrorIs(t, err, keyring.ErrNoKey, "the vault does not call a token unknown that it cannot know")
		requireReason(t, bootstrapError(t, other, token), vault.TokenUnknown, "the vault with the keys of the data does")
	})
}

func bootstrapError(t *testing.T, f *vaultfixture.Fixture, token bundle.Value) error {
	t.Helper()
	_, err := f.Bootstrap(t.Context(), token, nil)
	return err
}
