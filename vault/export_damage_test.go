package vault_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
)

// damages are edits of the rows of globex or acme in the database.
var damages = map[string]struct{ edit, names string }{
	"a missing seal of a tenant":        {"DELETE FROM seals WHERE scope = 'globex'", "globex"},
	"a missing seal of a scope":         {"DELETE FROM seals WHERE scope = 'acme/web'", "acme/web"},
	"a missing seal of a parent":        {"DELETE FROM seals WHERE scope = 'acme'", "acme"},
	"an edited active version":          {"UPDATE secrets SET author = 'mallory' WHERE scope = 'globex'", "globex"},
	"an edited earlier version":         {"UPDATE secrets SET author = 'mallory' WHERE scope = 'acme' AND name = 'A' AND version = 1", `"A"`},
	"an edited value":                   {"UPDATE secrets SET message = preview WHERE scope = 'acme' AND name = 'A' AND version = 1", `"A"`},
	"a version number out of range":     {"UPDATE heads SET last = 9223372036854775807 WHERE scope = 'acme' AND name = 'A'", `"A"`},
	"an active version of no version":   {"UPDATE heads SET active = 1 WHERE scope = 'acme' AND name = 'D'", `"D"`},
	"a deleted name that is no name":    {"UPDATE heads SET name = CAST(x'610062' AS TEXT) WHERE scope = 'acme' AND name = 'D'", `"a\x00b"`},
	"a missing active version":          {"DELETE FROM secrets WHERE scope = 'globex'", "globex"},
	"an edited token":                   {"UPDATE tokens SET expires = 0 WHERE scope = 'acme/web' AND expires != 0", "acme/web"},
	"an edited revocation":              {"UPDATE tokens SET revoked = 0 WHERE scope = 'acme/web'", "acme/web"},
	"an edited audit entry":             {"UPDATE audit SET entry = (SELECT entry FROM audit WHERE tenant = 'acme' AND seq = 4) WHERE tenant = 'acme' AND seq = 5", "audit chain"},
	"a missing audit entry":             {"DELETE FROM audit WHERE tenant = 'acme' AND seq = 5", "audit chain"},
	"a missing first audit entry":       {"DELETE FROM audit WHERE tenant = 'globex' AND seq = 1", "audit chain"},
	"a missing audit chain":             {"DELETE FROM audit WHERE tenant = 'globex'", "audit chain"},
	"a missing data key":                {"DELETE FROM data_keys WHERE tenant = 'globex'", "globex"},
	"a damaged data key":                {"UPDATE data_keys SET record = zeroblob(100) WHERE tenant = 'globex'", "globex"},
	"a scope whose name is not a scope": {"UPDATE seals SET scope = 'acme/../web' WHERE scope = 'acme/web'", "acme/../web"},
}

func TestExportDamage(t *testing.T) {
	world := newWorld(t)
	for about, damage := range damages {
		t.Run(about, func(t *testing.T) {
			w := world.copy(t)
			w.MustPut(t, "initech", "A", "whole")
			token := w.MustIssue(t, "initech")
			w.MustPut(t, "zeta", "A", "whole")
			w.sql(t, damage.edit)
			tenant := "acme"
			if bytes.Contains([]byte(damage.edit), []byte("globex")) {
				tenant = "globex"
			}
			f := w.fresh(t)
			var out bytes.Buffer
			_, err := f.Export(t.Context(), &out, nil)
			require.Error(t, err, "the damage is noticed")
			require.ErrorContains(t, err, "tenant "+tenant+": ", "the error names the tenant")
			require.ErrorContains(t, err, damage.names)
			require.NotContains(t, err.Error(), "tenant initech")
			require.Contains(t, bundle.Explain(err, func(string) string { return "-skip" }), "export the others with -skip", "and the fix")

			g := newFixtureOver(t, memstore.New(), w.KEK)
			_, err = g.Import(t.Context(), bytes.NewReader(out.Bytes()))
			require.ErrorIs(t, err, keyring.ErrTampered, "the incomplete stream cannot be imported")
			requireEmpty(t, g.Storage.Store, about)

			out.Reset()
			report, err := f.Export(t.Context(), &out, &vault.ExportOptions{Skip: []string{tenant}})
			require.NoError(t, err)
			imported, err := g.Import(t.Context(), bytes.NewReader(out.Bytes()))
			require.NoError(t, err)
			require.Equal(t, report, imported)
			require.Equal(t, 3, imported.Tenants)
			require.Equal(t, map[string]string{"A": "whole"}, g.Values(t, token))
		})
	}

	t.Run("names every damaged tenant at once", func(t *testing.T) {
		w := world.copy(t)
		w.sql(t, damages["a missing seal of a scope"].edit)
		w.sql(t, damages["an edited active version"].edit)
		w.sql(t, damages["an edited audit entry"].edit)
		_, err := w.fresh(t).Export(t.Context(), &bytes.Buffer{}, nil)
		require.ErrorContains(t, err, "tenant acme: ")
		require.ErrorContains(t, err, "acme/web")
		require.ErrorContains(t, err, "audit chain")
		require.ErrorContains(t, err, "tenant globex: ")
	})

	t.Run("skips only tenants that are stored", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "one")
		_, err := f.Export(t.Context(), &bytes.Buffer{}, &vault.ExportOptions{Skip: []string{"acmee"}})
		require.ErrorIs(t, err, vault.ErrInvalid)
		require.ErrorContains(t, err, `the tenant "acmee", which is not stored`)
	})
}

func TestExportDamage_Import(t *testing.T) {
	f := newFixture(t)
	f.MustPut(t, "acme", "A", "under the old key")
	next := keyringtest.NewFake("next")
	v := f.rekeyed(t, next, f.KEK)
	_, err := v.Put(t.Context(), "globex", "A", bundle.NewValue("under the new key"), nil)
	require.NoError(t, err)
	token, _, err := v.IssueToken(t.Context(), "globex", nil)
	require.NoError(t, err)
	var out bytes.Buffer
	_, err = v.Export(t.Context(), &out, nil)
	require.NoError(t, err)

	g := newFixtureOver(t, memstore.New(), next)
	report, err := g.Import(t.Context(), bytes.NewReader(out.Bytes()))
	require.ErrorIs(t, err, keyring.ErrNoKey)
	require.ErrorContains(t, err, `tenant "acme": `)
	partial, ok := errors.AsType[*vault.PartialError](err)
	require.True(t, ok)
	require.Equal(t, []string{"acme"}, partial.Tenants)
	require.Equal(t, 1, report.Tenants)
	require.Equal(t, map[string]string{"A": "under the new key"}, g.Values(t, token))
	scopes, err := g.Scopes(t.Context(), "acme")
	require.NoError(t, err)
	require.Empty(t, scopes, "nothing of acme is stored")
}
