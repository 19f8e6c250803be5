package sqlstore_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
)

var update = flag.Bool("update", false, "write the golden files")

// goldenChange is the testChange of the first version of the tables.
func goldenChange(n int) *store.Change {
	change := testChange(n)
	change.Mint, change.Docs, change.Append = nil, nil, nil
	return change
}

// goldenChanges is the content of the golden files, with goldenUses and, from
// version 2 on, goldenChange2. They fill every table and column. They must not
// change.
func goldenChanges() []*store.Change {
	var changes []*store.Change
	for n := range 5 {
		changes = append(changes, goldenChange(n+1))
	}
	gone := testSecret(3)
	gone.Name = "GONE"
	return append(changes,
		&store.Change{
			Seals:  []store.SealChange{{Scope: "acme", New: testSeal(100)}, {Scope: "other", New: testSeal(200)}},
			Insert: []store.SecretRow{goldenTombstone(), gone},
			Issue:  []store.TokenRow{goldenToken()},
		},
		&store.Change{
			Keys:     []store.KeyChange{{Tenant: "other", New: testKey(300), First: true}},
			Activate: []store.VersionRef{{Scope: testScope, Name: testName, Version: 4}},
			Delete:   []store.NameRef{{Scope: testScope, Name: "GONE"}},
		},
	)
}

// goldenChange2 fills the tables and columns of version 2.
func goldenChange2() *store.Change {
	var entries []store.AuditRow
	for n := range 5 {
		entries = append(entries, testEntry("acme", n+1))
	}
	return &store.Change{
		Issue:     []store.TokenRow{goldenWaived()},
		Mint:      []store.MintChange{{New: testMinted(7)}},
		Docs:      []store.DocChange{{New: testDoc("sealed", 7)}, {New: testDoc("loose", 7)}},
		Append:    append(entries, testEntry("other", 1)),
		DropAudit: []store.AuditRef{{Tenant: "acme", Seq: 2}},
	}
}

func goldenWaived() store.TokenRow {
	row := testToken(9)
	row.Scope, row.Waived = "other", "ANTHROPIC_API_KEY,GITHUB_TOKEN"
	return row
}

func goldenTombstone() store.SecretRow {
	row := testSecret(8)
	row.Name, row.Hidden, row.Kind, row.Message, row.Preview = "HIDDEN", true, "", nil, nil
	return row
}

func goldenToken() store.TokenRow {
	row := testToken(0)
	row.Scope, row.Label = "other", "größe ☃ '\";--"
	return row
}

var goldenUses = []store.Usage{
	{Token: testTokenID(0), Time: testTime(77), Addr: "[fe80::1]:443", Runner: "runner-7"},
	{Token: testTokenID(2), Time: testTime(78), Scope: testScope, Name: testName},
}

func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	files, err := filepath.Glob("testdata/schema*.db")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, golden := range files {
		t.Run(filepath.Base(golden), func(t *testing.T) {
			storage := openStore(t, copyFiles(t, golden))
			changes := 7
			if filepath.Base(golden) != "schema1.db" {
				requireGolden2(t, storage)
				changes++
			}
			requireGolden(t, storage, changes)
		})
	}
}

// requireGolden requires the rows of goldenChanges, in a store after the given
// number of changes.
func requireGolden(t *testing.T, storage *sqlstore.Store, changes int) {
	ctx := t.Context()

	used := func(row store.SecretRow) store.SecretRow {
		row.LastUsed, row.LastToken = testTime(78), testTokenID(2)
		return row
	}
	snap := mustRead(t, storage, testQuery)
	require.Equal(t, testSeal(100), snap.Path[0].Seal)
	require.Len(t, snap.Path[1].Secrets, 2)
	tombstone := &snap.Path[1].Secrets[0]
	require.Empty(t, tombstone.Message)
	require.Empty(t, tombstone.Preview)
	tombstone.Message, tombstone.Preview = nil, nil // drivers differ for empty bytes
	require.Equal(t, []store.SecretRow{goldenTombstone(), used(testSecret(4))}, snap.Path[1].Secrets, "version 4 was activated")
	require.Equal(t, []store.SecretRow{used(testSecret(3)), used(testSecret(4)), used(testSecret(5))}, snap.Versions)
	snap.Path[1].Secrets = []store.SecretRow{testSecret(5)}
	snap.Versions = []store.SecretRow{testSecret(3), testSecret(4), testSecret(5)}
	requireRows(t, 5, snap)

	gone := mustRead(t, storage, store.Query{Scope: testScope, Name: "GONE"})
	require.Empty(t, gone.Versions)
	require.EqualValues(t, 3, gone.Last, "a deleted name keeps its highest version")

	token := goldenToken()
	token.LastUsed, token.LastAddr, token.LastRunner = testTime(77), "[fe80::1]:443", "runner-7"
	other := mustRead(t, storage, store.Query{Token: testTokenID(0)})
	require.Equal(t, &token, other.Token)
	require.Equal(t, testSeal(200), other.Path[0].Seal)
	require.EqualValues(t, testKey(300), other.Keys[0])

	newest, scopes, err := storage.Changes(ctx, 5)
	require.NoError(t, err)
	require.EqualValues(t, changes, newest)
	require.ElementsMatch(t, []string{"acme", "other"}, scopes)

	next := testChange(6)
	next.Mint, next.Docs, next.Append = nil, nil, []store.AuditRow{testEntry("new", 1)}
	require.NoError(t, storage.Apply(ctx, next), "the store can be written to")
}

// requireGolden2 requires the rows of goldenChange2.
func requireGolden2(t *testing.T, storage *sqlstore.Store) {
	snap := mustRead(t, storage, store.Query{Scope: testScope, Minted: true, AuditHead: true})
	require.Equal(t, []store.MintedRow{testMinted(7)}, snap.Path[1].Minted)
	require.Equal(t, []store.Doc{testDoc("sealed", 7)}, snap.Path[1].Docs)
	docs, err := storage.Docs(t.Context(), store.DocQuery{Owner: testScope, Space: "loose", Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []store.Doc{testDoc("loose", 7)}, docs)
	head := testEntry("acme", 5)
	require.Equal(t, &head, snap.AuditHead)
	rows, err := storage.Audit(t.Context(), "acme", 0, 10)
	require.NoError(t, err)
	require.Equal(t, []store.AuditRow{testEntry("acme", 3), testEntry("acme", 4), testEntry("acme", 5)}, rows)
	token := goldenWaived()
	require.Equal(t, &token, mustRead(t, storage, store.Query{Token: token.ID}).Token)
}

// writeGolden writes the files of both versions of the tables.
func writeGolden(t *testing.T) {
	writeGoldenFile(t, "testdata/schema1.db", goldenChanges(), asVersion1SQLite)
	writeGoldenFile(t, "testdata/schema2.db", append(goldenChanges(), goldenChange2()), "")
}

// asVersion1SQLite is asVersion1 for SQLite.
const asVersion1SQLite = `DROP TABLE minted; DROP TABLE audit; DROP TABLE docs; DROP TABLE probe;
	ALTER TABLE tokens DROP COLUMN waived; DELETE FROM satchel_schema WHERE version = 2; VACUUM`

// writeGoldenFile writes a database with the rows of changes and goldenUses, after it
// has run statements there.
func writeGoldenFile(t *testing.T, name string, changes []*store.Change, statements string) {
	file := newFile(t)
	db := openDB(t, file)
	storage, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite)
	require.NoError(t, err)
	for _, change := range changes {
		require.NoError(t, storage.Apply(t.Context(), change))
	}
	require.NoError(t, storage.Touch(t.Context(), goldenUses))
	_, err = db.ExecContext(t.Context(), statements)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.NoFileExists(t, file+"-wal", "closing merges the WAL into the file")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, b, 0o644))
}
