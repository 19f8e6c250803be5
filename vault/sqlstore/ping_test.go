package sqlstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

func TestStore_Ping(t *testing.T) {
	t.Run("fails while SQLite has no space for a write", func(t *testing.T) {
		file := newFile(t)
		storage := openStore(t, file)
		require.NoError(t, storage.Ping(t.Context()))
		// The database may not grow: the limit is at least its size when a connection
		// is opened.
		full := openStore(t, "file:"+file+"?_pragma=max_page_count(1)")
		n, failure := 0, error(nil)
		for failure == nil && n < 1000 {
			n++
			failure = full.Apply(t.Context(), testChange(n))
		}
		require.ErrorContains(t, failure, "full")
		require.ErrorContains(t, full.Ping(t.Context()), "full", "a database that can be read but not written is not working")
		requireChange(t, n-1, mustRead(t, full, testQuery))

		require.NoError(t, storage.Ping(t.Context()))
		require.NoError(t, storage.Apply(t.Context(), testChange(n)))
		requireChange(t, n, mustRead(t, full, testQuery))
	})

	t.Run("fails for a file that is read-only", func(t *testing.T) {
		file := newFile(t)
		require.NoError(t, openStore(t, file).Apply(t.Context(), testChange(1)))
		db := openDB(t, file)
		db.SetMaxOpenConns(1)
		storage, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "PRAGMA query_only = ON")
		require.NoError(t, err)
		requireChange(t, 1, mustRead(t, storage, testQuery))
		require.ErrorContains(t, storage.Ping(t.Context()), "readonly")
	})

	t.Run("fails while a table of SQLite cannot be written to", func(t *testing.T) {
		for about, statement := range map[string]string{
			"a trigger":       "CREATE TRIGGER no BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END",
			"a missing table": "ALTER TABLE seals RENAME TO gone",
		} {
			file := newFile(t)
			storage := openStore(t, file)
			require.NoError(t, storage.Ping(t.Context()))
			_, err := openDB(t, file).ExecContext(t.Context(), statement)
			require.NoError(t, err)
			require.Error(t, storage.Ping(t.Context()), about)
			require.Error(t, storage.Apply(t.Context(), testChange(1)), about)
		}
	})

	t.Run("does not depend on the rows that are there", func(t *testing.T) {
		db := openDB(t, newFile(t))
		storage, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "INSERT INTO probe (number, filler) VALUES (-9223372036854775808, x'00'), (1, x'00'), (9223372036854775807, x'00')")
		require.NoError(t, err)
		require.NoError(t, storage.Ping(t.Context()))
		require.NoError(t, storage.Ping(t.Context()))
	})

	t.Run("keeps one small row", func(t *testing.T) {
		file := newFile(t)
		db := openDB(t, file)
		storage, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite)
		require.NoError(t, err)
		pages := func() (n int) {
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT page_count FROM pragma_page_count").Scan(&n))
			return n
		}
		require.NoError(t, storage.Ping(t.Context()))
		require.NoError(t, storage.Ping(t.Context()))
		before := pages()
		for range 50 {
			require.NoError(t, storage.Ping(t.Context()))
		}
		require.Equal(t, before, pages(), "pings must not make the database grow")
		var rows int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM probe").Scan(&rows))
		require.Equal(t, 1, rows)
	})

	t.Run("fails while PostgreSQL refuses writes", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		storage, admin := openPostgres(t, dsn), openPostgresDB(t, dsn)
		require.NoError(t, storage.Ping(t.Context()))
		runPostgres(t, admin, "ALTER TABLE satchel_audit ADD CHECK (seq < 0) NOT VALID, ADD CHECK (seq > 0) NOT VALID")
		require.ErrorContains(t, storage.Ping(t.Context()), "inserting into audit")
		runPostgres(t, admin, "ALTER TABLE satchel_docs RENAME TO satchel_gone")
		require.ErrorContains(t, storage.Ping(t.Context()), "writing to docs")
		runPostgres(t, admin, "ALTER TABLE satchel_probe ADD CHECK (number < 0) NOT VALID")
		require.ErrorContains(t, storage.Ping(t.Context()), "inserting into probe")
	})

	t.Run("waits for another writer no longer than its context", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		storage := openPostgres(t, dsn)
		holder, err := openPostgresDB(t, dsn).BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = holder.ExecContext(t.Context(), "SELECT newest FROM satchel_changes FOR UPDATE")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, storage.Ping(ctx), context.DeadlineExceeded, "writes wait for a writer that hangs, so the store is not working")
		require.NoError(t, holder.Rollback())
		require.NoError(t, storage.Ping(t.Context()))
	})
}
