package sqlstore_test

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/store/storetest"
)

// openPostgresDB returns a pool over a PostgreSQL database, which keeps its
// connections, because each costs the server a process.
func openPostgresDB(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	db.SetMaxIdleConns(16)
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
	store.Store
	t   testing.TB
	dsn string
}

func (r *postgresReopener) Reopen(ctx context.Context) (store.Store, error) {
	return sqlstore.Open(ctx, openPostgresDB(r.t, r.dsn), sqlstore.Postgres)
}

func TestPostgres_Contract(t *testing.T) {
	t.Run("passes the storage suite", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store {
			dsn := postgrestest.Schema(t)
			return &postgresReopener{Store: openPostgres(t, dsn), t: t, dsn: dsn}
		})
	})

	t.Run("passes the storage suite with two stores on one database", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store {
			dsn := postgrestest.Schema(t)
			return &twins{stores: [2]store.Store{openPostgres(t, dsn), openPostgres(t, dsn)}}
		})
	})
}

// twins are two stores on one database, as in two processes. Calls alternate
// between them.
type twins struct {
	calls  atomic.Int64
	stores [2]store.Store
}

func (t *twins) next() store.Store { return t.stores[t.calls.Add(1)%2] }

func (t *twins) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	return t.next().Read(ctx, q)
}
func (t *twins) Apply(ctx context.Context, c *store.Change) error { return t.next().Apply(ctx, c) }
func (t *twins) Touch(ctx context.Context, uses []store.Usage) error {
	return t.next().Touch(ctx, uses)
}
func (t *twins) Tenants(ctx context.Context, after string, limit int) ([]string, error) {
	return t.next().Tenants(ctx, after, limit)
}
func (t *twins) Scopes(ctx context.Context, tenant string) ([]string, error) {
	return t.next().Scopes(ctx, tenant)
}
func (t *twins) Docs(ctx context.Context, q store.DocQuery) ([]store.Doc, error) {
	return t.next().Docs(ctx, q)
}
func (t *twins) Audit(ctx context.Context, tenant string, after int64, limit int) ([]store.AuditRow, error) {
	return t.next().Audit(ctx, tenant, after, limit)
}
func (t *twins) Ping(ctx context.Context) error { return t.next().Ping(ctx) }
func (t *twins) Changes(ctx context.Context, since int64) (int64, []string, error) {
	return t.next().Changes(ctx, since)
}
