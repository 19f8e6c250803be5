package vault_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

// The attacker of these tests holds the database and no key: every edit is SQL.
// Other tests say which edits are refused; this file has what they share.

// openSQLite returns a vault over the SQLite database in file.
func openSQLite(t testing.TB, file string, kek *keyringtest.Fake) *fixture {
	t.Helper()
	storage, err := sqlstore.Open(t.Context(), openDB(t, file), sqlstore.SQLite)
	require.NoError(t, err)
	return newFixtureOver(t, storage, kek)
}

func openDB(t testing.TB, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// Canaries: no refusal, error or log may hold any of them.
const (
	canaryTenant = "canary-tenant-7d1f3b9e5a2c4860"
	canaryOld    = "canary-old-3c5e7a9b1d2f4860"
	canaryWeb    = "canary-web-9b1d3f5a7c2e4860"
	canaryNear   = "canary-near-1a2b3c4d5e6f7080"
	canaryOther  = "canary-other-5a7c9e1b3d2f4860"
)

var canaries = []string{canaryTenant, canaryOld, canaryWeb, canaryNear, canaryOther}

// world is a platform that an attacker has the database of.
type world struct {
	*fixture
	file    string
	token   bundle.Value // of acme/web
	gone    bundle.Value // of acme/web, revoked
	other   bundle.Value // of globex
	globex  map[string]string
	genuine map[string]string // what token gets
	forge   *sql.DB
}

// newWorld returns a world in a new SQLite file.
//
//	acme      A: 1 old, 2 active, 3 newer    B    D: 1, deleted
//	acme/web  C    B hidden    E
//	globex    A
func newWorld(t testing.TB) *world {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vault.db")
	w := &world{fixture: openSQLite(t, file, keyringtest.NewFake("kek")), file: file}
	w.put(t, "acme", "A", canaryOld)
	w.put(t, "acme", "A", canaryTenant, vault.PutOptions{Kind: "anthropic", Expires: soon()})
	w.put(t, "acme", "A", canaryNear)
	_, err := w.Activate(t.Context(), "acme", "A", 2)
	require.NoError(t, err)
	w.put(t, "acme", "B", canaryOther)
	w.put(t, "acme", "D", canaryOther)
	require.NoError(t, w.Delete(t.Context(), "acme", "D"))
	w.put(t, "acme/web", "C", canaryWeb)
	w.put(t, "acme/web", "E", canaryNear)
	_, err = w.Hide(t.Context(), "acme/web", "B")
	require.NoError(t, err)
	w.put(t, "globex", "A", canaryOther)

	w.token = w.issue(t, "acme/web", vault.TokenOptions{Expires: soon(), RotateBy: soon(), Label: "pool"})
	w.gone, w.other = w.issue(t, "acme/web"), w.issue(t, "globex")
	require.NoError(t, w.RevokeToken(vault.WithActor(t.Context(), "ada"), tokenID(t, w.gone)))
	w.genuine, w.globex = w.values(t, w.token), w.values(t, w.other)
	require.Equal(t, map[string]string{"A": canaryTenant, "C": canaryWeb, "E": canaryNear}, w.genuine)
	require.NoError(t, w.Flush(t.Context()))

	w.arm(t)
	return w
}

// arm gives the attacker a connection.
func (w *world) arm(t testing.TB) {
	w.forge = openDB(t, w.file)
	w.forge.SetMaxOpenConns(1) // its temporary tables belong to a connection
	w.sql(t, "PRAGMA busy_timeout = 10000")
	w.sql(t, "PRAGMA synchronous = OFF")
}

// copy returns the same world in another file, with a process that has seen
// the state it is in.
func (w *world) copy(t testing.TB) *world {
	t.Helper()
	c := *w
	c.file = filepath.Join(t.TempDir(), "vault.db")
	_, err := w.forge.Exec("VACUUM INTO ?", c.file)
	require.NoError(t, err)
	c.fixture = openSQLite(t, c.file, w.kek)
	require.Equal(t, c.genuine, c.values(t, c.token))
	require.Equal(t, c.globex, c.values(t, c.other))
	c.arm(t)
	return &c
}

// flip changes one bit in the middle of a BLOB.
func (w *world) flip(t testing.TB, table, column, where string) {
	t.Helper()
	var b []byte
	require.NoError(t, w.forge.QueryRow(fmt.Sprintf("SELECT %s FROM %s WHERE %s", column, table, where)).Scan(&b))
	require.NotEmpty(t, b)
	b[len(b)/2] ^= 0x10
	w.sql(t, fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s", table, column, where), b)
}

// sql runs the attacker's statement, which has to change something.
func (w *world) sql(t testing.TB, query string, args ...any) {
	t.Helper()
	result, err := w.forge.Exec(query, args...)
	require.NoError(t, err, query)
	if !strings.HasPrefix(query, "PRAGMA") && !strings.HasPrefix(query, "ATTACH") && !strings.HasPrefix(query, "CREATE") {
		n, err := result.RowsAffected()
		require.NoError(t, err)
		require.Positive(t, n, "the attack changes nothing: %s", query)
	}
}

// keep copies a table, for the attacker to restore rows from later.
func (w *world) keep(t testing.TB, tables ...string) {
	t.Helper()
	for _, table := range tables {
		w.sql(t, fmt.Sprintf("CREATE TEMP TABLE old_%s AS SELECT * FROM main.%s", table, table))
	}
}

// restore brings the rows of a table that where selects back to what they were.
func (w *world) restore(t testing.TB, table, where string) {
	t.Helper()
	_, err := w.forge.Exec(fmt.Sprintf("DELETE FROM main.%s WHERE %s", table, where))
	require.NoError(t, err)
	w.sql(t, fmt.Sprintf("INSERT INTO main.%s SELECT * FROM old_%s WHERE %s", table, table, where))
}

// fresh returns a vault that has seen nothing, as after a restart.
func (w *world) fresh(t testing.TB) *fixture {
	t.Helper()
	return openSQLite(t, w.file, w.kek)
}

// integrity are the errors that say that somebody was at the rows.
var integrity = []error{keyring.ErrTampered, keyring.ErrMalformed, keyring.ErrNoKey, vault.ErrRollback}

// requireRefused fails the test unless err refuses stored rows, the vault
// logged that as an error, and nothing of a value got out.
func requireRefused(t testing.TB, f *fixture, err error, about string) {
	t.Helper()
	require.Error(t, err, "%s: it was served", about)
	known := false
	for _, class := range integrity {
		known = known || errors.Is(err, class)
	}
	require.True(t, known, "%s: refused, but not as tampering: %v", about, err)
	// Of a flood the vault logs the first ones.
	if f.refused++; f.refused <= 20 {
		require.Positive(t, f.log.errors(), "%s: a refusal is logged as an error", about)
	}
	requireNoCanary(t, err.Error()+f.log.text(), about)
}

func requireNoCanary(t testing.TB, text, about string) {
	t.Helper()
	for _, canary := range canaries {
		require.NotContains(t, text, canary, "%s: a value got out", about)
		require.NotContains(t, text, canary[:16], "%s: a part of a value got out", about)
	}
}

// requireBundleRefused fails the test unless the runner gets nothing, from the
// running process and from one that has just started.
func (w *world) requireBundleRefused(t testing.TB, about string) {
	t.Helper()
	for _, process := range []*fixture{w.fixture, w.fresh(t)} {
		b, err := process.Bootstrap(t.Context(), w.token, nil)
		require.Nil(t, b, "%s: it was served", about)
		requireRefused(t, process, err, about)
	}
}
