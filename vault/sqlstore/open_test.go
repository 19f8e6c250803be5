package sqlstore_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

func TestOpen_SQLite(t *testing.T) {
	t.Run("refuses a database in memory", func(t *testing.T) {
		t.Chdir(t.TempDir()) // where a misread name would create a file
		for _, dsn := range []string{":memory:", "", "file::memory:?cache=shared", "file:shared?mode=memory&cache=shared", "file:/disk?vfs=memdb"} {
			_, err := sqlstore.Open(t.Context(), openDB(t, dsn), sqlstore.SQLite)
			require.ErrorContains(t, err, "it is in memory or a temporary file, so each connection would have a separate database; name a file, or use memstore", "data source %q", dsn)
		}
		files, err := os.ReadDir(".")
		require.NoError(t, err)
		require.Empty(t, files)
	})

	t.Run("refuses a database of another program", func(t *testing.T) {
		file := newFile(t)
		runSQL(t, file, "CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('a')")
		requireRefusal(t, file, "use a separate file for the vault")
	})

	t.Run("refuses a file that is not a database", func(t *testing.T) {
		file := newFile(t)
		require.NoError(t, os.WriteFile(file, []byte("The quick brown fox jumps over the lazy dog. "+string(make([]byte, 1000))), 0o600))
		requireRefusal(t, file, "not a database")
	})

	t.Run("refuses tables of a later version", func(t *testing.T) {
		file := newFile(t)
		db := openDB(t, file)
		_, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		runSQL(t, file, "INSERT INTO satchel_schema (version, applied) VALUES (99, 0)")
		requireRefusal(t, file, "its tables have version 99, but this program supports versions only up to 2; update the program")
	})

	t.Run("finds the rows of an earlier store", func(t *testing.T) {
		file := newFile(t)
		require.NoError(t, openStore(t, file).Apply(t.Context(), testChange(1)))
		first := openStore(t, file)
		second := openStore(t, file) // while the first one is still open
		requireChange(t, 1, mustRead(t, first, testQuery))
		require.NoError(t, second.Apply(t.Context(), testChange(2)))
		requireChange(t, 2, mustRead(t, first, testQuery))
	})
}

func TestExists(t *testing.T) {
	t.Run("reports whether there are tables and creates none", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		for d, db := range map[sqlstore.Dialect]*sql.DB{sqlstore.SQLite: openDB(t, newFile(t)), sqlstore.Postgres: openPostgresDB(t, dsn)} {
			for range 2 {
				exists, err := sqlstore.Exists(t.Context(), db, d)
				require.NoError(t, err)
				require.False(t, exists)
			}
			_, err := sqlstore.Open(t.Context(), db, d)
			require.NoError(t, err)
			exists, err := sqlstore.Exists(t.Context(), db, d)
			require.NoError(t, err)
			require.True(t, exists, "also without rows")
		}
	})

	t.Run("fails where Open does", func(t *testing.T) {
		file := newFile(t)
		runSQL(t, file, "CREATE TABLE bookmarks (url TEXT)")
		_, err := sqlstore.Exists(t.Context(), openDB(t, file), sqlstore.SQLite)
		require.EqualError(t, err, "looking for a vault in the database: it is an SQLite database of another program; use a separate file for the vault")
		_, err = sqlstore.Exists(t.Context(), nil, sqlstore.SQLite)
		require.ErrorContains(t, err, "the *sql.DB is nil; open one with sql.Open")
	})
}

func TestOpen(t *testing.T) {
	t.Run("refuses a nil database and dialect 0", func(t *testing.T) {
		_, err := sqlstore.Open(t.Context(), nil, sqlstore.SQLite)
		require.EqualError(t, err, "opening the vault's database: the *sql.DB is nil; open one with sql.Open")
		_, err = sqlstore.Open(t.Context(), openDB(t, newFile(t)), 0)
		require.EqualError(t, err, "opening the vault's database: unknown dialect 0; use sqlstore.SQLite or sqlstore.Postgres")
	})

	t.Run("refuses an unknown dialect", func(t *testing.T) {
		for _, d := range []sqlstore.Dialect{0, 99} {
			_, err := sqlstore.Open(t.Context(), openDB(t, newFile(t)), d)
			require.ErrorContains(t, err, "use sqlstore.SQLite")
		}
	})

	t.Run("does nothing if its context is done", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		file := newFile(t)
		_, err := sqlstore.Open(ctx, openDB(t, file), sqlstore.SQLite)
		require.ErrorIs(t, err, context.Canceled)
		require.NoFileExists(t, file)
	})
}

// requireRefusal opens file, and requires an error with text and an unchanged file.
func requireRefusal(t *testing.T, file, text string) {
	t.Helper()
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	db := openDB(t, file)
	_, err = sqlstore.Open(t.Context(), db, sqlstore.SQLite)
	require.ErrorContains(t, err, text)
	require.NoError(t, db.Close())
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, before, after, "a refused file stays unchanged")
	files, err := filepath.Glob(file + "?*")
	require.NoError(t, err)
	require.Empty(t, files, "nothing is left beside a refused file")
}

// runSQL runs statements on a database file.
func runSQL(t *testing.T, file, statements string) {
	t.Helper()
	db := openDB(t, file)
	_, err := db.ExecContext(t.Context(), statements)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

func TestOpen_Canceled(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		cancelOpen(t, sqlstore.SQLite, func() (*sql.DB, *spy) { return openSpied(t, openDB(t, ""), newFile(t)) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		cancelOpen(t, sqlstore.Postgres, func() (*sql.DB, *spy) {
			dsn := postgrestest.Schema(t)
			return openSpied(t, openPostgresDB(t, dsn), dsn)
		})
	})
}

func cancelOpen(t *testing.T, d sqlstore.Dialect, fresh func() (*sql.DB, *spy)) {
	db, s := fresh()
	count := len(statements(s, func() {
		_, err := sqlstore.Open(t.Context(), db, d)
		require.NoError(t, err)
	}))
	for k := range count {
		db, s := fresh()
		ctx, cancel := context.WithCancel(t.Context())
		at := 0
		s.around = func(_ context.Context, _ string, run func() error) error {
			if at++; at == k+1 {
				cancel()
			}
			return run()
		}
		_, err := sqlstore.Open(ctx, db, d)
		cancel()
		s.around = nil
		require.Equal(t, k == count-1, err == nil, "only the last statement, COMMIT, is not interrupted")
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
		storage, err := sqlstore.Open(t.Context(), db, d)
		require.NoError(t, err, "after a cancellation at statement %d", k)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
	}
}
