package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
)

// worker keeps reading and adding to the chain of changes.
type worker struct {
	storage      *sqlstore.Store
	acknowledged atomic.Int64 // the newest change that Apply acknowledged
	failed       atomic.Int64 // operations that failed, other than with a conflict
	uncertain    atomic.Int64 // changes that were stored although Apply failed
}

func (w *worker) run(ctx context.Context) error {
	for ctx.Err() == nil {
		snap, err := w.storage.Read(ctx, testQuery)
		if err != nil {
			w.failed.Add(1)
			time.Sleep(time.Millisecond)
			continue
		}
		n := sealNumber(snap.Path[1].Seal)
		if acknowledged := int(w.acknowledged.Load()); n < acknowledged {
			return errors.New("an acknowledged change is gone")
		} else if n > acknowledged {
			w.uncertain.Add(1)
		}
		switch err := w.storage.Apply(ctx, testChange(n+1)); {
		case err == nil:
			w.acknowledged.Store(int64(n + 1))
		case errors.Is(err, store.ErrConflict):
			return err // there are no other writers
		default:
			w.failed.Add(1)
		}
	}
	return nil
}

// reaches waits until the counter has increased by more.
func reaches(t *testing.T, counter *atomic.Int64, more int64, why string) {
	t.Helper()
	want := counter.Load() + more
	require.Eventually(t, func() bool { return counter.Load() >= want }, time.Minute, time.Millisecond, why)
}

func TestPostgres_Restart(t *testing.T) {
	t.Run("recovers from restarts and crashes of the server", func(t *testing.T) {
		server := postgrestest.Start(t)
		storage := openPostgres(t, server.DSN())
		w := &worker{storage: storage}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		var failure error
		wg.Go(func() { failure = w.run(ctx) })
		for name, stop := range map[string]func(testing.TB){"stopped": server.Stop, "crashed": server.Crash} {
			for range 3 {
				reaches(t, &w.acknowledged, 5, "the store is in use before the server is "+name)
				stop(t)
				reaches(t, &w.failed, 3, "operations fail while the server is "+name+", and do not hang")
				server.Start(t)
				reaches(t, &w.acknowledged, 5, "the store works again after the server was "+name)
			}
		}
		cancel()
		wg.Wait()
		require.NoError(t, failure)

		acknowledged := int(w.acknowledged.Load())
		snap := mustRead(t, openPostgres(t, server.DSN()), testQuery)
		n := sealNumber(snap.Path[1].Seal)
		require.GreaterOrEqual(t, n, acknowledged, "an acknowledged change is gone")
		require.LessOrEqual(t, n, acknowledged+1)
		requireChange(t, n, snap)
		newest, _, err := storage.Changes(t.Context(), 0)
		require.NoError(t, err)
		require.EqualValues(t, n, newest, "each change was counted once")
		t.Logf("%d changes and %d failures; %d changes were stored although the connection broke", n, w.failed.Load(), w.uncertain.Load())
	})

	t.Run("loses no operation to dead idle connections", func(t *testing.T) {
		server := postgrestest.Start(t)
		db := openPostgresDB(t, server.DSN())
		db.SetMaxIdleConns(8)
		storage, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
		require.NoError(t, err)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		fill := func() {
			var conns []*sql.Conn
			for len(conns) < 8 { // all open together, so that they differ
				conn, err := db.Conn(t.Context())
				require.NoError(t, err)
				if conn.PingContext(t.Context()) == nil {
					conns = append(conns, conn)
				}
			}
			for _, conn := range conns {
				require.NoError(t, conn.Close())
			}
		}
		for n, stop := range []func(testing.TB){server.Stop, server.Crash} {
			fill()
			require.Equal(t, 8, db.Stats().Idle)
			stop(t)
			server.Start(t)
			require.NoError(t, storage.Apply(t.Context(), testChange(n+2)), "all connections in the pool are dead, and none had begun a transaction")
		}
		requireChange(t, 3, mustRead(t, storage, testQuery))
	})
}
