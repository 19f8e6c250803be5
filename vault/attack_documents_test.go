package vault_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/store"
)

// requireDocsRefused fails the test unless both the running process and one that has just
// started refuse to read the sealed documents of acme.
func (w *world) requireDocsRefused(t *testing.T, about string) {
	t.Helper()
	for _, process := range []*fixture{w.fixture, w.fresh(t)} {
		docs, err := vault.Documents(t.Context(), process.Vault, "acme", vault.SpaceSealed)
		require.Empty(t, docs, about)
		requireRefused(t, process, err, about)
		requireRefused(t, process, vault.PutDocument(t.Context(), process.Vault, "acme", vault.SpaceSealed, vault.Document{Key: "x"}), about+", and a write does not cover it up")
	}
}

func TestAttackDocuments_Sealed(t *testing.T) {
	const columns = "version, expires, sealed, body, key_id, mac"
	t.Run("refuses swapped, moved and copied documents", func(t *testing.T) {
		for about, statement := range map[string]string{
			"the document of another scope":   "UPDATE docs SET (" + columns + ") = (SELECT " + columns + " FROM docs WHERE owner = 'acme/web' AND space = 'test-sealed') WHERE " + rowDoc,
			"the document of another tenant":  "UPDATE docs SET (" + columns + ") = (SELECT " + columns + " FROM docs WHERE owner = 'globex') WHERE " + rowDoc,
			"the document of another space":   "UPDATE docs SET (" + columns + ") = (SELECT " + columns + " FROM docs WHERE " + rowDocSecret + ") WHERE " + rowDoc,
			"a document of no seal":           "UPDATE docs SET (version, expires, body, key_id, mac) = (SELECT version, expires, body, key_id, mac FROM docs WHERE " + rowLoose + ") WHERE " + rowDoc,
			"moved to another scope":          "UPDATE docs SET owner = 'acme/other' WHERE " + rowDoc,
			"copied under another key":        "INSERT INTO docs SELECT owner, space, 'other', version, expires, sealed, body, key_id, mac FROM docs WHERE " + rowDoc,
			"copied from another scope":       "INSERT INTO docs SELECT 'acme', space, 'web', version, expires, sealed, body, key_id, mac FROM docs WHERE owner = 'acme/web' AND sealed = 1",
			"planted":                         "INSERT INTO docs SELECT owner, 'unknown', 'x', 1, 0, 1, x'00', zeroblob(16), zeroblob(32) FROM docs WHERE " + rowDoc,
			"deleted":                         "DELETE FROM docs WHERE " + rowDoc,
			"all deleted":                     "DELETE FROM docs",
			"no longer sealed":                "UPDATE docs SET sealed = 0 WHERE " + rowDoc,
			"a document of no seal is sealed": "UPDATE docs SET sealed = 1 WHERE " + rowLoose,
		} {
			t.Run(about, func(t *testing.T) {
				w := newWorld(t)
				w.sql(t, statement)
				w.requireDocsRefused(t, about)
				w.requireBundleRefused(t, about)
			})
		}
	})

	t.Run("refuses an earlier version", func(t *testing.T) {
		w := newWorld(t)
		w.keep(t, "docs", "seals")
		w.mustPutDoc(t, "acme", vault.SpaceSealed, "rule", "stricter")
		w.restore(t, "docs", rowDoc)
		w.requireDocsRefused(t, "a row without its seal")

		w.restore(t, "seals", "scope = 'acme'")
		_, err := vault.Documents(t.Context(), w.Vault, "acme", vault.SpaceSealed)
		require.ErrorIs(t, err, vault.ErrRollback, "with its seal, to a process that has seen the newer state")
	})

	t.Run("refuses a document that was removed", func(t *testing.T) {
		w := newWorld(t)
		w.keep(t, "docs")
		require.NoError(t, vault.RemoveDocument(t.Context(), w.Vault, "acme", vault.SpaceSealed, "rule"))
		w.restore(t, "docs", rowDoc)
		w.requireDocsRefused(t, "put back")
	})

	t.Run("does not let the platform start over", func(t *testing.T) {
		w := newWorld(t)
		w.mustPutDoc(t, store.Platform, vault.SpaceSealed, "admin", "x")
		w.sql(t, "DELETE FROM docs WHERE owner = '_platform'")
		w.sql(t, "DELETE FROM seals WHERE scope = '_platform'")
		f := w.fresh(t)
		err := vault.PutDocument(t.Context(), f.Vault, store.Platform, vault.SpaceSealed, vault.Document{Key: "mallory"})
		requireRefused(t, f, err, "the audit chain shows that there was a seal")
	})
}

func TestAttackDocuments_Loose(t *testing.T) {
	read := func(t *testing.T, f *fixture, owner string) ([]vault.Document, error) {
		return vault.LoosePage(t.Context(), f.Vault, owner, vault.SpaceLoose, "", 10)
	}
	t.Run("refuses moved, copied and planted documents", func(t *testing.T) {
		for about, statement := range map[string]string{
			"copied from another owner": "INSERT INTO docs SELECT 'acme', space, 'web', version, expires, sealed, body, key_id, mac FROM docs WHERE owner = 'acme/web' AND sealed = 0",
			"copied under another key":  "INSERT INTO docs SELECT owner, space, 'other', version, expires, sealed, body, key_id, mac FROM docs WHERE " + rowLoose,
			"made of a sealed one":      "INSERT INTO docs SELECT owner, 'test-loose', key, version, expires, 0, body, key_id, mac FROM docs WHERE " + rowDoc,
			"planted":                   "INSERT INTO docs SELECT owner, space, 'x', 1, 0, 0, x'00', zeroblob(16), zeroblob(32) FROM docs WHERE " + rowLoose,
		} {
			t.Run(about, func(t *testing.T) {
				w := newWorld(t)
				w.sql(t, statement)
				for _, process := range []*fixture{w.fixture, w.fresh(t)} {
					docs, err := read(t, process, "acme")
					require.Empty(t, docs, about)
					requireRefused(t, process, err, about)
				}
				_, err := w.RotateDataKeys(t.Context(), 0)
				require.True(t, isIntegrity(err), "a rotation does not authenticate it")
			})
		}
	})

	// docs/threat-model.md describes this limit.
	t.Run("an earlier version and a removal are not noticed", func(t *testing.T) {
		w := newWorld(t)
		w.keep(t, "docs")
		require.NoError(t, vault.PutLoose(t.Context(), w.Vault, "acme", vault.SpaceLoose, vault.Document{Key: "session", Version: 1, Body: "ended"}))
		w.restore(t, "docs", rowLoose)
		docs, err := read(t, w.fixture, "acme")
		require.NoError(t, err)
		require.Equal(t, canaryTenant, docs[0].Body)
		w.sql(t, "DELETE FROM docs WHERE "+rowLoose)
		docs, err = read(t, w.fixture, "acme")
		require.NoError(t, err)
		require.Empty(t, docs)
	})
}
