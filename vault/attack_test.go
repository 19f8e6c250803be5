package vault_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

// The attacker in these tests has the database but no key, so every edit is SQL. This
// file has the helpers; other files have the attacks.

// openSQLite returns a vault that uses the SQLite database in file.
func openSQLite(t testing.TB, file string, kek *keyringtest.Fake) *fixture {
	t.Helper()
	storage, err := sqlstore.Open(t.Context(), openDB(t, file), sqlstore.SQLite)
	require.NoError(t, err)
	return newFixtureOver(t, storage, kek)
}

// openDB opens the SQLite database in file.
func openDB(t testing.TB, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// Canaries are values that no refusal, error or log may contain.
const (
	canaryTenant = "canary-tenant-7d1f3b9e5a2c4860"
	canaryOld    = "canary-old-3c5e7a9b1d2f4860"
	canaryWeb    = "canary-web-9b1d3f5a7c2e4860"
	canaryNear   = "canary-near-1a2b3c4d5e6f7080"
	canaryOther  = "canary-other-5a7c9e1b3d2f4860"
)

var canaries = []string{canaryTenant, canaryOld, canaryWeb, canaryNear, canaryOther}

// world is a platform whose database an attacker controls.
type world struct {
	*fixture
	file    string
	token   bundle.Value      // of acme/web
	gone    bundle.Value      // of acme/web, revoked
	other   bundle.Value      // of globex
	globex  map[string]string // values for other
	genuine map[string]string // values for token
	forge   *sql.DB
}

// newWorld returns a world in a new SQLite file.
//
//	acme      A: 1 old, 2 active, 3 newer    B    D: 1, deleted
//	acme/web  C    B hidden    E
//	globex    A
//
// Each scope has a sealed document named rule, and acme has a secret one named key. acme
// and acme/web have one named session that no seal covers.
func newWorld(t testing.TB) *world {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vault.db")
	w := &world{fixture: openSQLite(t, file, keyringtest.NewFake("kek")), file: file}
	w.MustPut(t, "acme", "A", canaryOld)
	w.MustPut(t, "acme", "A", canaryTenant, vault.PutOptions{Kind: "anthropic", Expires: soon()})
	w.MustPut(t, "acme", "A", canaryNear)
	_, err := w.Activate(t.Context(), "acme", "A", 2)
	require.NoError(t, err)
	w.MustPut(t, "acme", "B", canaryOther)
	w.MustPut(t, "acme", "D", canaryOther)
	require.NoError(t, w.Delete(t.Context(), "acme", "D"))
	w.MustPut(t, "acme/web", "C", canaryWeb)
	w.MustPut(t, "acme/web", "E", canaryNear)
	_, err = w.Hide(t.Context(), "acme/web", "B")
	require.NoError(t, err)
	w.MustPut(t, "globex", "A", canaryOther)

	w.mustPutDoc(t, "acme", vault.SpaceSealed, "rule", canaryOld)
	w.mustPutDoc(t, "acme", vault.SpaceSealed, "rule", canaryTenant)
	w.mustPutDoc(t, "acme", vault.SpaceSecret, "key", canaryTenant)
	w.mustPutDoc(t, "acme/web", vault.SpaceSealed, "rule", canaryWeb)
	w.mustPutDoc(t, "globex", vault.SpaceSealed, "rule", canaryOther)
	w.mustPutLoose(t, "acme", vault.SpaceLoose, "session", canaryTenant, soon())
	w.mustPutLoose(t, "acme/web", vault.SpaceLoose, "session", canaryWeb, soon())

	w.token = w.MustIssue(t, "acme/web", vault.TokenOptions{Expires: soon(), RotateBy: soon(), Label: "pool"})
	w.gone, w.other = w.MustIssue(t, "acme/web"), w.MustIssue(t, "globex")
	require.NoError(t, w.RevokeToken(vault.WithActor(t.Context(), "ada"), tokenID(t, w.gone)))
	w.genuine, w.globex = w.Values(t, w.token), w.Values(t, w.other)
	require.Equal(t, map[string]string{"A": canaryTenant, "C": canaryWeb, "E": canaryNear}, w.genuine)
	require.NoError(t, w.Flush(t.Context()))

	w.arm(t)
	return w
}

// arm opens the attacker's connection.
func (w *world) arm(t testing.TB) {
	w.forge = openDB(t, w.file)
	w.forge.SetMaxOpenConns(1) // temporary tables belong to one connection
	w.sql(t, "PRAGMA busy_timeout = 10000")
	w.sql(t, "PRAGMA synchronous = OFF")
}

// copy returns a copy of the world in another file, with a process that has seen its
// state.
func (w *world) copy(t testing.TB) *world {
	t.Helper()
	c := *w
	c.file = filepath.Join(t.TempDir(), "vault.db")
	_, err := w.forge.Exec("VACUUM INTO ?", c.file)
	require.NoError(t, err)
	c.fixture = openSQLite(t, c.file, w.KEK)
	require.Equal(t, c.genuine, c.Values(t, c.token))
	require.Equal(t, c.globex, c.Values(t, c.other))
	c.arm(t)
	return &c
}

// flip flips one bit in the middle of a BLOB.
func (w *world) flip(t testing.TB, table, column, where string) {
	t.Helper()
	var b []byte
	require.NoError(t, w.forge.QueryRow(fmt.Sprintf("SELECT %s FROM %s WHERE %s", column, table, where)).Scan(&b))
	require.NotEmpty(t, b)
	b[len(b)/2] ^= 0x10
	w.sql(t, fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s", table, column, where), b)
}

// sql runs a statement of the attacker, which must change a row.
func (w *world) sql(t testing.TB, query string, args ...any) {
	t.Helper()
	result, err := w.forge.Exec(query, args...)
	require.NoError(t, err, query)
	if !strings.HasPrefix(query, "PRAGMA") && !strings.HasPrefix(query, "ATTACH") && !strings.HasPrefix(query, "CREATE") {
		n, err := result.RowsAffected()
		require.NoError(t, err)
		require.Positive(t, n, "the attack changes no row: %s", query)
	}
}

// keep copies tables, so that the attacker can restore their rows later.
func (w *world) keep(t testing.TB, tables ...string) {
	t.Helper()
	for _, table := range tables {
		w.sql(t, fmt.Sprintf("CREATE TEMP TABLE old_%s AS SELECT * FROM main.%s", table, table))
	}
}

// restore restores the rows of a table that where selects to their kept state.
func (w *world) restore(t testing.TB, table, where string) {
	t.Helper()
	_, err := w.forge.Exec(fmt.Sprintf("DELETE FROM main.%s WHERE %s", table, where))
	require.NoError(t, err)
	w.sql(t, fmt.Sprintf("INSERT INTO main.%s SELECT * FROM old_%s WHERE %s", table, table, where))
}

// fresh returns a vault that has not seen any state, as after a restart.
func (w *world) fresh(t testing.TB) *fixture {
	t.Helper()
	return openSQLite(t, w.file, w.KEK)
}

// integrity are the errors for rows that were changed behind the vault's back.
var integrity = []error{keyring.ErrTampered, keyring.ErrMalformed, keyring.ErrNoKey, vault.ErrRollback}

// isIntegrity reports whether err refuses stored rows.
func isIntegrity(err error) bool {
	return slices.ContainsFunc(integrity, func(class error) bool { return errors.Is(err, class) })
}

// requireRefused fails the test unless err refuses stored rows, the vault logged an
// error, and no part of a value is in either.
func requireRefused(t testing.TB, f *fixture, err error, about string) {
	t.Helper()
	require.Error(t, err, "%s: the vault served it", about)
	require.True(t, isIntegrity(err), "%s: refused, but not as tampering: %v", about, err)
	// The vault limits the rate of its log.
	if f.refused++; f.refused <= 20 {
		require.Positive(t, f.Log.Errors(), "%s: a refusal is logged at level ERROR", about)
	}
	leaktest.NoCanary(t, err.Error()+f.Log.Text(), about, canaries...)
}

// requireBundleRefused fails the test unless both the running process and one that has
// just started refuse the bundle.
func (w *world) requireBundleRefused(t testing.TB, about string) {
	t.Helper()
	for _, process := range []*fixture{w.fixture, w.fresh(t)} {
		b, err := process.Bootstrap(t.Context(), w.token, nil)
		require.Nil(t, b, "%s: the vault served it", about)
		requireRefused(t, process, err, about)
	}
}
