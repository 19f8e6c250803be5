package sqlstore_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/store/storetest"
)

// openDB returns a pool over a file, which may not exist yet.
func openDB(t testing.TB, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// openStore returns the store in a file.
func openStore(t testing.TB, file string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), openDB(t, file), sqlstore.SQLite)
	require.NoError(t, err)
	return s
}

// newFile returns the name of a file for a database that does not exist yet.
func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "vault.db") }

// reopener is a store that the suite can close and reopen.
type reopener struct {
	*sqlstore.Store
	t    testing.TB
	file string
	db   *sql.DB
}

func (r *reopener) Reopen(ctx context.Context) (store.Store, error) {
	if err := r.db.Close(); err != nil {
		return nil, err
	}
	return sqlstore.Open(ctx, openDB(r.t, r.file), sqlstore.SQLite)
}

func TestStore_Contract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		file := newFile(t)
		db := openDB(t, file)
		s, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite)
		require.NoError(t, err)
		return &reopener{Store: s, t: t, file: file, db: db}
	})
}
