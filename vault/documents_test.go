package vault_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// mustPutDoc stores a document of a sealed space.
func (f *fixture) mustPutDoc(t testing.TB, owner, space, key, body string) {
	t.Helper()
	ctx := vault.WithActor(t.Context(), "ada")
	require.NoError(t, vault.PutDocument(ctx, f.Vault, owner, space, vault.Document{Key: key, Body: body}))
}

// mustPutLoose stores the first version of a document that no seal covers.
func (f *fixture) mustPutLoose(t testing.TB, owner, space, key, body string, expires time.Time) {
	t.Helper()
	require.NoError(t, vault.PutLoose(t.Context(), f.Vault, owner, space, vault.Document{Key: key, Body: body, Expires: expires}))
}

// mustDocs returns the documents of a sealed space.
func (f *fixture) mustDocs(t testing.TB, owner, space string) []vault.Document {
	t.Helper()
	docs, err := vault.Documents(t.Context(), f.Vault, owner, space)
	require.NoError(t, err)
	return docs
}

// mustPage returns all documents of a space that no seal covers.
func (f *fixture) mustPage(t testing.TB, owner, space string) []vault.Document {
	t.Helper()
	docs, err := vault.LoosePage(t.Context(), f.Vault, owner, space, "", 1000)
	require.NoError(t, err)
	return docs
}

func TestDocuments_Sealed(t *testing.T) {
	t.Run("are stored, replaced and removed with an audit entry each", func(t *testing.T) {
		f := newFixture(t)
		require.Empty(t, f.mustDocs(t, "acme/web", vault.SpaceSealed))
		f.mustPutDoc(t, "acme/web", vault.SpaceSealed, "b", "one")
		f.mustPutDoc(t, "acme/web", vault.SpaceSealed, "a", "two")
		f.mustPutDoc(t, "acme/web", vault.SpaceSealed, "b", "three")
		f.mustPutDoc(t, "acme", vault.SpaceSealed, "a", "four")
		want := []vault.Document{{Key: "a", Version: 1, Body: "two"}, {Key: "b", Version: 2, Body: "three"}}
		require.Equal(t, want, f.mustDocs(t, "acme/web", vault.SpaceSealed))
		require.Equal(t, want, f.process(t).mustDocs(t, "acme/web", vault.SpaceSealed), "another process reads the same")
		require.Empty(t, f.mustDocs(t, "acme/web", vault.SpaceSecret), "spaces are separate")

		require.NoError(t, vault.RemoveDocument(t.Context(), f.Vault, "acme/web", vault.SpaceSealed, "b"))
		require.Equal(t, want[:1], f.mustDocs(t, "acme/web", vault.SpaceSealed))
		entries := f.audit(t, "acme")
		var log []string
		for _, e := range entries {
			log = append(log, fmt.Sprintf("%s %s of %s by %s", e.Action, e.Name, e.Scope, e.Actor))
		}
		require.Equal(t, []string{"test.put b of acme/web by ada", "test.put a of acme/web by ada", "test.put b of acme/web by ada", "test.put a of acme by ada", "test.remove b of acme/web by "}, log)
	})

	t.Run("change the revision of bundles", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme/web")
		before := f.Bundle(t, token).Revision()
		f.mustPutDoc(t, "acme", vault.SpaceSealed, "rule", "x")
		require.NotEqual(t, before, f.Bundle(t, token).Revision())
	})

	t.Run("keep secret bodies encrypted", func(t *testing.T) {
		f := newFixture(t)
		f.mustPutDoc(t, "acme", vault.SpaceSecret, "key", canaryTenant)
		rows, err := f.Storage.Docs(t.Context(), store.DocQuery{Owner: "acme", Space: vault.SpaceSecret, Limit: 10})
		require.NoError(t, err)
		require.True(t, rows[0].Sealed)
		require.NotContains(t, string(rows[0].Body), canaryTenant)
		require.Equal(t, "SKM\x01", string(rows[0].Body[:4]))
		require.Equal(t, []vault.Document{{Key: "key", Version: 1, Body: canaryTenant}}, f.mustDocs(t, "acme", vault.SpaceSecret))
	})

	t.Run("have limits", func(t *testing.T) {
		f := newFixture(t)
		for about, d := range map[string]vault.Document{
			"no key":                    {},
			"a long key":                {Key: strings.Repeat("k", 257)},
			"a key with a line break":   {Key: "a\nb"},
			"a long body":               {Key: "k", Body: strings.Repeat("b", 64<<10+1)},
			"an expiry after year 9999": {Key: "k", Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		} {
			require.ErrorIs(t, vault.PutDocument(t.Context(), f.Vault, "acme", vault.SpaceSealed, d), vault.ErrInvalid, about)
			require.ErrorIs(t, vault.PutLoose(t.Context(), f.Vault, "acme", vault.SpaceLoose, d), vault.ErrInvalid, about)
		}
		f.mustPutDoc(t, "acme", vault.SpaceSecret, strings.Repeat("k", 256), strings.Repeat("b", 64<<10))
		require.Len(t, f.mustDocs(t, "acme", vault.SpaceSecret), 1)
	})

	t.Run("survive concurrent writers", func(t *testing.T) {
		f := newFixture(t)
		errs := make(chan error)
		for i := range 8 {
			process := f.process(t)
			go func() {
				errs <- vault.PutDocument(t.Context(), process.Vault, "acme", vault.SpaceSealed, vault.Document{Key: fmt.Sprint("k", i%4), Body: fmt.Sprint(i)})
			}()
		}
		for range 8 {
			require.NoError(t, <-errs)
		}
		docs := f.mustDocs(t, "acme", vault.SpaceSealed)
		require.Len(t, docs, 4)
		for _, d := range docs {
			require.EqualValues(t, 2, d.Version, "no write is lost")
		}
	})
}

func TestDocuments_Loose(t *testing.T) {
	t.Run("are replaced by compare and swap", func(t *testing.T) {
		f := newFixture(t)
		for _, space := range []string{vault.SpaceLoose, vault.SpaceLooseSecret} {
			put := func(version int64, body string) error {
				return vault.PutLoose(t.Context(), f.Vault, store.Platform, space, vault.Document{Key: "k", Version: version, Body: body})
			}
			require.NoError(t, put(0, "one"))
			require.ErrorIs(t, put(0, "two"), vault.ErrConflict, "there is a document already")
			require.NoError(t, put(1, canaryTenant))
			require.ErrorIs(t, put(1, "three"), vault.ErrConflict, "the version is 2")
			d, ok, err := vault.Loose(t.Context(), f.Vault, store.Platform, space, "k")
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, vault.Document{Key: "k", Version: 2, Body: canaryTenant}, d)
			rows, err := f.Storage.Docs(t.Context(), store.DocQuery{Owner: store.Platform, Space: space, Key: "k"})
			require.NoError(t, err)
			require.False(t, rows[0].Sealed)
			require.Equal(t, space == vault.SpaceLoose, string(rows[0].Body) == canaryTenant, "secret bodies are encrypted")
			require.ErrorIs(t, vault.RemoveLoose(t.Context(), f.Vault, store.Platform, space, "k", 1), vault.ErrConflict)
			require.NoError(t, vault.RemoveLoose(t.Context(), f.Vault, store.Platform, space, "k", 2))
			_, ok, err = vault.Loose(t.Context(), f.Vault, store.Platform, space, "k")
			require.NoError(t, err)
			require.False(t, ok)
		}
		require.Empty(t, f.audit(t, store.Platform), "they write no audit entries")
	})

	t.Run("are listed by pages and removed after their expiry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			for i := range 5 {
				f.mustPutLoose(t, "acme", vault.SpaceLoose, fmt.Sprint("k", i), "x", time.Now().Add(time.Duration(i)*time.Minute+time.Second))
			}
			page, err := vault.LoosePage(t.Context(), f.Vault, "acme", vault.SpaceLoose, "k1", 2)
			require.NoError(t, err)
			require.Equal(t, "k2", page[0].Key)
			require.Len(t, page, 2)
			time.Sleep(2 * time.Minute)
			require.Len(t, f.mustPage(t, "acme", vault.SpaceLoose), 5, "an expired document stays until it is removed")
			require.NoError(t, vault.ExpireLoose(t.Context(), f.Vault, "acme", vault.SpaceLoose, time.Now()))
			require.Len(t, f.mustPage(t, "acme", vault.SpaceLoose), 3)
		})
	})

	t.Run("do not change the revision of bundles", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme/web")
		before := f.Bundle(t, token).Revision()
		f.mustPutLoose(t, "acme", vault.SpaceLoose, "k", "x", time.Time{})
		require.Equal(t, before, f.Bundle(t, token).Revision())
	})
}

// fillDocs stores documents of every kind in several owners.
func (f *fixture) fillDocs(t testing.TB) {
	for _, owner := range []string{store.Platform, "acme", "acme/web"} {
		f.mustPutDoc(t, owner, vault.SpaceSealed, "a", "sealed of "+owner)
		f.mustPutDoc(t, owner, vault.SpaceSealed, "a", "sealed of "+owner)
		f.mustPutDoc(t, owner, vault.SpaceSecret, "a", "secret of "+owner)
		for i := range 3 {
			f.mustPutLoose(t, owner, vault.SpaceLoose, fmt.Sprint("k", i), "loose of "+owner, time.Time{})
			f.mustPutLoose(t, owner, vault.SpaceLooseSecret, fmt.Sprint("k", i), "loose secret of "+owner, soon())
		}
	}
}

// allDocs returns the documents that fillDocs stored.
func (f *fixture) allDocs(t testing.TB) map[string][]vault.Document {
	t.Helper()
	all := map[string][]vault.Document{}
	for _, owner := range []string{store.Platform, "acme", "acme/web"} {
		for _, space := range []string{vault.SpaceSealed, vault.SpaceSecret} {
			all[owner+" "+space] = f.mustDocs(t, owner, space)
		}
		for _, space := range []string{vault.SpaceLoose, vault.SpaceLooseSecret} {
			all[owner+" "+space] = f.mustPage(t, owner, space)
		}
	}
	return all
}

func TestDocuments_RotateDataKeys(t *testing.T) {
	f := newFixture(t)
	f.fillDocs(t)
	before := f.allDocs(t)
	require.EqualValues(t, 2, before["acme "+vault.SpaceSealed][0].Version)
	report, err := f.RotateDataKeys(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, vault.RotateKeysReport{Tenants: 1, Keys: 2, Scopes: 3}, report, "the platform is not counted as a tenant")
	require.Equal(t, before, f.process(t).allDocs(t), "contents and versions are the same")

	for _, owner := range []string{store.Platform, "acme", "acme/web"} {
		requireUnderNewest(t, f.Storage, owner)
		snap, err := f.Storage.Read(t.Context(), store.Query{Scope: owner})
		require.NoError(t, err)
		seal := snap.Path[len(snap.Path)-1].Seal
		for _, space := range []string{vault.SpaceSealed, vault.SpaceSecret, vault.SpaceLoose, vault.SpaceLooseSecret} {
			rows, err := f.Storage.Docs(t.Context(), store.DocQuery{Owner: owner, Space: space, Limit: 10})
			require.NoError(t, err)
			require.NotEmpty(t, rows)
			for _, row := range rows {
				require.Equal(t, seal[6:22], row.KeyID[:], "%s in %s of %s", row.Key, space, owner)
				if strings.Contains(space, "secret") {
					id, err := keyring.MessageKeyID(row.Body)
					require.NoError(t, err)
					require.Equal(t, row.KeyID, id)
				}
			}
		}
	}
	report, err = f.RotateDataKeys(t.Context(), time.Hour)
	require.NoError(t, err)
	require.Zero(t, report.Scopes, "nothing is left to move")
}

func TestDocuments_Rewrap(t *testing.T) {
	f := newFixture(t)
	f.fillDocs(t)
	before := f.allDocs(t)
	next := keyringtest.NewFake("next")
	v := f.rekeyed(t, next, f.KEK)
	report, err := v.Rewrap(t.Context())
	require.NoError(t, err)
	require.Equal(t, vault.RewrapReport{Tenants: 1, Records: 2, Rewrapped: 2}, report)
	g := newFixtureOver(t, f.Storage.Store, next)
	require.NoError(t, g.Check(t.Context()), "the old key is not needed any more")
	require.Equal(t, before, g.allDocs(t))
	require.ErrorIs(t, newFixtureOver(t, f.Storage.Store, keyringtest.NewFake("third")).Check(t.Context()), keyring.ErrNoKey)
}

func TestDocuments_Import(t *testing.T) {
	t.Run("restores documents that have not expired", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.fillDocs(t)
			before := f.allDocs(t)
			f.mustPutLoose(t, "acme", vault.SpaceLoose, "old", "x", time.Now().Add(time.Minute))
			f.mustPutLoose(t, "acme/loose", vault.SpaceLoose, "only", "x", time.Time{})
			time.Sleep(2 * time.Minute)
			export, report := f.exported(t)
			require.Equal(t, 1, report.Tenants, "the platform is not a tenant")
			require.Equal(t, 3*8+1, report.Documents)

			g := newFixtureOver(t, memstore.New(), f.KEK)
			imported, err := g.Import(t.Context(), bytes.NewReader(export))
			require.NoError(t, err)
			require.Equal(t, report, imported)
			require.Equal(t, before, g.allDocs(t))
			require.Len(t, g.mustPage(t, "acme/loose", vault.SpaceLoose), 1, "an owner without a seal")
			require.Equal(t, f.audit(t, store.Platform), g.audit(t, store.Platform))
			g.mustPutDoc(t, store.Platform, vault.SpaceSealed, "a", "next")
			require.EqualValues(t, 3, g.mustDocs(t, store.Platform, vault.SpaceSealed)[0].Version)
		})
	})

	t.Run("refuses documents that were changed", func(t *testing.T) {
		for _, space := range []string{vault.SpaceSealed, vault.SpaceLoose} {
			f := newFixture(t)
			f.fillDocs(t)
			rows, err := f.Storage.Docs(t.Context(), store.DocQuery{Owner: store.Platform, Space: space, Limit: 1})
			require.NoError(t, err)
			edited := rows[0]
			edited.Body = append(edited.Body, 'x')
			require.NoError(t, f.Storage.Apply(t.Context(), &store.Change{Docs: []store.DocChange{{Old: edited.Version, New: edited}}}))
			var out bytes.Buffer
			_, err = f.Export(t.Context(), &out, nil)
			require.ErrorIs(t, err, keyring.ErrTampered, space)
			require.ErrorContains(t, err, "tenant "+store.Platform)
		}
	})
}

func TestDocuments_Platform(t *testing.T) {
	f := newFixture(t)
	f.fillDocs(t)
	var tenants []string
	for tenant, err := range f.Tenants(t.Context()) {
		require.NoError(t, err)
		tenants = append(tenants, tenant)
	}
	require.Equal(t, []string{"acme"}, tenants, "the platform is not a tenant")
	require.Len(t, f.audit(t, store.Platform), 3)
	records, err := f.AuditPage(t.Context(), store.Platform, 0, 10)
	require.NoError(t, err)
	require.Len(t, records, 3)
	require.ErrorIs(t, vault.CheckScope(store.Platform), vault.ErrInvalid, "no scope has this name")
	_, _, err = f.IssueToken(t.Context(), store.Platform, nil)
	require.ErrorIs(t, err, vault.ErrInvalid)
	_, err = f.List(t.Context(), store.Platform)
	require.ErrorIs(t, err, vault.ErrInvalid)
	dropped, err := f.TrimAudit(t.Context(), store.Platform, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Positive(t, dropped)
}
