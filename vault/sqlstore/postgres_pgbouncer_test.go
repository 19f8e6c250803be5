package sqlstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/store/storetest"
)

// TestPostgres_PgBouncer runs stores through a PgBouncer in transaction mode, with
// fewer connections to the server than the stores have to it, so that transactions of
// one connection run in different sessions of the server.
func TestPostgres_PgBouncer(t *testing.T) {
	server := postgrestest.Start(t)
	pooler := server.PgBouncer(t)
	admin := openPostgresDB(t, server.DSN())
	var databases atomic.Int64
	// fresh returns a new database behind the pooler, because PgBouncer accepts no
	// search_path.
	fresh := func(t *testing.T, mode string) string {
		name := fmt.Sprintf("satchel_%d", databases.Add(1))
		runPostgres(t, admin, "CREATE DATABASE "+name)
		t.Cleanup(func() {
			_, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name+" WITH (FORCE)")
			require.NoError(t, err)
		})
		return postgrestest.With(postgrestest.With(pooler, "dbname", name), "default_query_exec_mode", mode)
	}

	t.Run("passes the storage suite", func(t *testing.T) {
		if !testenv.IsLarge() {
			return // it creates many databases
		}
		storetest.Run(t, func(t *testing.T) store.Store {
			dsn := fresh(t, "cache_describe")
			return &twins{stores: [2]store.Store{openPostgres(t, dsn), openPostgres(t, dsn)}}
		})
	})

	for _, mode := range []string{"cache_describe", "exec"} {
		t.Run("serves many connections in mode "+mode, func(t *testing.T) {
			storage := openPostgres(t, fresh(t, mode))
			var group sync.WaitGroup
			errs := make(chan error, 16)
			for i := range cap(errs) {
				group.Go(func() {
					for n := range 20 {
						tenant := fmt.Sprintf("tenant%d", i)
						err := storage.Apply(t.Context(), &store.Change{Append: []store.AuditRow{testEntry(tenant, n+1)}})
						if err == nil {
							_, err = storage.Read(t.Context(), testQuery)
						}
						if err == nil && n%5 == 0 {
							err = storage.Ping(t.Context())
						}
						if err != nil {
							errs <- err
							return
						}
					}
				})
			}
			group.Wait()
			close(errs)
			require.NoError(t, <-errs)
		})
	}
}
