package sqlstore_test

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

// openPostgresDB returns a pool over a PostgreSQL database.
func openPostgresDB(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// openPostgres returns the store in a PostgreSQL database.
func openPostgres(t testing.TB, dsn string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), openPostgresDB(t, dsn), sqlstore.Postgres)
	require.NoError(t, err)
	return s
}

// postgresReopener is a reopener over PostgreSQL.
type postgresReopener struct {
	vault.Storage
	t   testing.TB
	dsn string
}

func (r *postgresReopener) Reopen(ctx context.Context) (vault.Storage, error) {
	return sqlstore.Open(ctx, openPostgresDB(r.t, r.dsn), sqlstore.Postgres)
}

func TestStorageInPostgreSQL(t *testing.T) {
	vaulttest.RunStorage(t, func(t *testing.T) vault.Storage {
		dsn := postgrestest.Schema(t)
		return &postgresReopener{Storage: openPostgres(t, dsn), t: t, dsn: dsn}
	})
}

// twins are two stores on one database, as two processes have them. Each call
// goes to the other one than the call before.
type twins struct {
	calls  atomic.Int64
	stores [2]vault.Storage
}

func (t *twins) next() vault.Storage { return t.stores[t.calls.Add(1)%2] }

func (t *twins) Read(ctx context.Context, q vault.Query) (*vault.Snapshot, error) {
	return t.next().Read(ctx, q)
}
func (t *twins) Apply(ctx context.Context, c *vault.Change) error { return t.next().Apply(ctx, c) }
func (t *twins) Touch(ctx context.Context, uses []vault.Use) error {
	return t.next().Touch(ctx, uses)
}
func (t *twins) Tenants(ctx context.Context, after string, limit int) ([]string, error) {
	return t.next().Tenants(ctx, after, limit)
}
func (t *twins) Audit(ctx context.Context, tenant string, after int64, limit int) ([]vault.AuditRow, error) {
	return t.next().Audit(ctx, tenant, after, limit)
}
func (t *twins) Changes(ctx context.Context, since int64) (int64, []string, error) {
	return t.next().Changes(ctx, since)
}

func TestTwoStoresOnOnePostgreSQLAreOneStorage(t *testing.T) {
	vaulttest.RunStorage(t, func(t *testing.T) vault.Storage {
		dsn := postgrestest.Schema(t)
		return &twins{stores: [2]vault.Storage{openPostgres(t, dsn), openPostgres(t, dsn)}}
	})
}
