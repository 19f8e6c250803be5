package sqlstore_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
)

// runPostgres runs statements.
func runPostgres(t *testing.T, db *sql.DB, statements string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statements)
	require.NoError(t, err, statements)
}

func currentSchema(t *testing.T, db *sql.DB) (name string) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT current_schema()").Scan(&name))
	return name
}

// createSchema creates a schema that is dropped after the test.
func createSchema(t *testing.T, db *sql.DB, name string) {
	t.Helper()
	runPostgres(t, db, "CREATE SCHEMA "+quoted(name))
	t.Cleanup(func() {
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA "+quoted(name)+" CASCADE")
		require.NoError(t, err)
	})
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// tables returns the names of all tables and views in the current schema.
func tables(t *testing.T, db *sql.DB) (names string) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v')").Scan(&names))
	return names
}

func TestPostgres_Open(t *testing.T) {
	t.Run("prefixes its tables", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		db := openPostgresDB(t, dsn)
		runPostgres(t, db, "CREATE TABLE tokens (mine TEXT); CREATE TABLE satchel_users (mine TEXT)")
		require.NoError(t, openPostgres(t, dsn).Apply(t.Context(), testChange(1)))
		require.Equal(t, "satchel_audit satchel_changes satchel_data_keys satchel_docs satchel_heads satchel_minted satchel_probe satchel_schema satchel_seals satchel_secrets satchel_tokens satchel_users tokens", tables(t, db),
			"a schema may be shared with other programs")
	})

	t.Run("refuses another program's table under one of its names", func(t *testing.T) {
		for name, statements := range map[string]string{
			"satchel_tokens":  "CREATE TABLE satchel_tokens (id TEXT)",
			"satchel_changes": "CREATE VIEW satchel_changes AS SELECT 1 AS newest",
			"satchel_schema":  "CREATE TABLE satchel_schema (version TEXT, applied BIGINT); INSERT INTO satchel_schema VALUES ('1', 1)",
			"satchel_schema ": "CREATE VIEW satchel_schema AS SELECT 1::bigint AS version, 1::bigint AS applied",
			"satchel_schema.": "CREATE TABLE satchel_schema (version BIGINT, applied BIGINT)", // empty
		} {
			t.Run(name, func(t *testing.T) {
				db := openPostgresDB(t, postgrestest.Schema(t))
				runPostgres(t, db, statements)
				before := tables(t, db)
				_, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
				require.ErrorContains(t, err, "has a "+before+" that is not the vault's; use a separate schema for the vault and set search_path to it")
				require.Equal(t, before, tables(t, db), "a refused schema stays unchanged")
			})
		}
	})

	t.Run("refuses tables of a later version", func(t *testing.T) {
		db := openPostgresDB(t, postgrestest.Schema(t))
		_, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
		require.NoError(t, err)
		runPostgres(t, db, "INSERT INTO satchel_schema (version, applied) VALUES (99, 0)")
		_, err = sqlstore.Open(t.Context(), db, sqlstore.Postgres)
		require.ErrorContains(t, err, "its tables have version 99, but this program supports versions only up to 2; update the program")
	})

	t.Run("refuses a search_path without a schema", func(t *testing.T) {
		dsn := postgrestest.With(postgrestest.Schema(t), "search_path", "satchel_none")
		_, err := sqlstore.Open(t.Context(), openPostgresDB(t, dsn), sqlstore.Postgres)
		require.ErrorContains(t, err, "its search_path names no existing schema; create one, or change search_path")
	})

	t.Run("refuses an encoding other than UTF8", func(t *testing.T) {
		server := postgrestest.Start(t)
		runPostgres(t, openPostgresDB(t, server.DSN()), "CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'")
		_, err := sqlstore.Open(t.Context(), openPostgresDB(t, postgrestest.With(server.DSN(), "dbname", "latin")), sqlstore.Postgres)
		require.ErrorContains(t, err, "its encoding is LATIN1 and must be UTF8; create a database with that encoding")
	})

	t.Run("updates tables of version 1", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		db, storage := openPostgresDB(t, dsn), openPostgres(t, dsn)
		for _, change := range goldenChanges() {
			require.NoError(t, storage.Apply(t.Context(), change))
		}
		require.NoError(t, storage.Touch(t.Context(), goldenUses))
		runPostgres(t, db, asVersion1)
		requireGolden(t, openPostgres(t, dsn), 7)
	})

	t.Run("undoes an update that fails", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		db := openPostgresDB(t, dsn)
		require.NoError(t, openPostgres(t, dsn).Apply(t.Context(), goldenChange(1)))
		runPostgres(t, db, asVersion1)
		runPostgres(t, db, "CREATE TABLE satchel_audit (mine TEXT)")
		before := tables(t, db)
		_, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
		require.ErrorContains(t, err, `updating the tables to version 2: ERROR: relation "satchel_audit" already exists`)
		require.Equal(t, before, tables(t, db), "the update is undone")

		runPostgres(t, db, "DROP TABLE satchel_audit")
		storage := openPostgres(t, dsn)
		requireRows(t, 1, mustRead(t, storage, testQuery))
		require.NoError(t, storage.Apply(t.Context(), &store.Change{Append: []store.AuditRow{testEntry("acme", 1)}}))
	})

	t.Run("finds its tables behind a schema created later", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		db := openPostgresDB(t, dsn)
		own := currentSchema(t, db)
		later := own + "_later"
		both := postgrestest.With(dsn, "search_path", later+", "+own)
		require.NoError(t, openPostgres(t, both).Apply(t.Context(), testChange(1)))

		createSchema(t, db, later)
		requireChange(t, 1, mustRead(t, openPostgres(t, both), testQuery))
	})

	t.Run("keeps its schema when the search_path changes", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		admin := openPostgresDB(t, dsn)
		odd := currentSchema(t, admin) + ` has "quotes"?` // a name that needs quotes
		createSchema(t, admin, odd)
		db := openPostgresDB(t, postgrestest.With(dsn, "search_path", quoted(odd)))
		storage, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
		require.NoError(t, err)
		db.SetMaxOpenConns(1)
		runPostgres(t, db, "SET search_path = pg_catalog")
		for n := range 3 {
			require.NoError(t, storage.Apply(t.Context(), testChange(n+1)))
		}
		requireChange(t, 3, mustRead(t, storage, testQuery))
		everyStatement(t, storage, 4)
		var count int
		require.NoError(t, admin.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = $1", odd).Scan(&count))
		require.Equal(t, 11, count)
	})

	t.Run("waits for no lock if the tables are current", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		storage := openPostgres(t, dsn)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		holder, err := openPostgresDB(t, dsn).BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, holder.Rollback()) }()
		_, err = holder.ExecContext(t.Context(), "SELECT newest FROM satchel_changes FOR UPDATE")
		require.NoError(t, err, "as if another process were writing")
		_, err = holder.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock(32476774833612140)")
		require.NoError(t, err, "as if another process were updating the tables")
		requireChange(t, 1, mustRead(t, openPostgres(t, dsn), testQuery))
	})
}

// asVersion1 reverts a schema from version 2 to version 1.
const asVersion1 = "DROP TABLE satchel_minted, satchel_audit, satchel_docs, satchel_probe; ALTER TABLE satchel_tokens DROP COLUMN waived; DELETE FROM satchel_schema WHERE version = 2"
