package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

// hostname is a name of a server that can move to another one, as a name in DNS.
type hostname struct{ link string }

func newHostname(t *testing.T, server *postgrestest.Server) hostname {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg") // a short path, as in postgrestest
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	h := hostname{filepath.Join(dir, "db")}
	h.move(t, server)
	return h
}

// move makes new connections go to server.
func (h hostname) move(t *testing.T, server *postgrestest.Server) {
	t.Helper()
	require.NoError(t, os.Symlink(server.Socket(), h.link+".new"))
	require.NoError(t, os.Rename(h.link+".new", h.link))
}

func (h hostname) dsn() string {
	return "host=" + h.link + " user=postgres dbname=postgres sslmode=disable"
}

// fillPool opens idle connections of a pool.
func fillPool(t *testing.T, db *sql.DB, count int) {
	t.Helper()
	var conns []*sql.Conn
	for range count {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
	require.Equal(t, count, db.Stats().Idle)
}

func TestPostgres_Standby(t *testing.T) {
	primary := postgrestest.Start(t)
	writer := openPostgres(t, primary.DSN())
	require.NoError(t, writer.Apply(t.Context(), testChange(1)))
	standby := primary.Standby(t, time.Hour)
	require.NoError(t, writer.Apply(t.Context(), testChange(2)))
	const refused = "the server is a standby, so its rows may be out of date; connect to the primary, as pgx does with target_session_attrs=read-write"

	t.Run("is not opened", func(t *testing.T) {
		_, err := sqlstore.Open(t.Context(), openPostgresDB(t, standby.DSN()), sqlstore.Postgres)
		require.ErrorContains(t, err, refused)
	})

	t.Run("answers no operation of a store that was opened before", func(t *testing.T) {
		name := newHostname(t, primary)
		db := openPostgresDB(t, name.dsn())
		storage, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
		require.NoError(t, err)
		name.move(t, standby)
		db.SetMaxIdleConns(0) // the connections to the primary end
		db.SetMaxIdleConns(16)
		var group sync.WaitGroup
		errs := map[string]*error{}
		for operation, run := range map[string]func() error{
			"Read":    func() error { _, err := storage.Read(t.Context(), testQuery); return err },
			"Changes": func() error { _, _, err := storage.Changes(t.Context(), 0); return err },
			"Tenants": func() error { _, err := storage.Tenants(t.Context(), "", 10); return err },
			"Audit":   func() error { _, err := storage.Audit(t.Context(), "acme", 0, 10); return err },
			"Apply":   func() error { return storage.Apply(t.Context(), testChange(3)) },
			"Touch":   func() error { return storage.Touch(t.Context(), goldenUses) },
			"Ping":    func() error { return storage.Ping(t.Context()) },
		} {
			failure := new(error)
			errs[operation] = failure
			group.Go(func() { *failure = run() })
		}
		group.Wait()
		for operation, err := range errs {
			require.ErrorContains(t, *err, refused, operation)
		}
		name.move(t, primary)
		requireChange(t, 2, mustRead(t, storage, testQuery))
	})

	t.Run("is left for the primary, although it fills the pool", func(t *testing.T) {
		name := newHostname(t, standby)
		db := openPostgresDB(t, name.dsn())
		db.SetMaxIdleConns(20)
		fillPool(t, db, 20)
		name.move(t, primary)
		storage, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
		require.NoError(t, err)
		for range 50 {
			requireChange(t, 2, mustRead(t, storage, testQuery))
			require.NoError(t, storage.Ping(t.Context()))
		}
	})
}

func TestPostgres_StandbyAlarm(t *testing.T) {
	primary := postgrestest.Start(t)
	kek := keyringtest.NewFake("kek")
	writer := openVault(t, openPostgres(t, primary.DSN()), kek, nil)
	put(t, writer, "acme", "A", "one")
	standby := primary.Standby(t, time.Hour)
	name := newHostname(t, standby)
	db := openPostgresDB(t, name.dsn())
	fillPool(t, db, 10)
	put(t, writer, "acme", "A", "two")
	runner := newRunners(t, writer, "acme/web", 1)[0]
	name.move(t, primary)
	storage, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
	require.NoError(t, err)
	other := openVault(t, storage, kek, nil)
	for n := range 20 {
		put(t, other, "acme", "A", fmt.Sprint("made-up-value-", n))
		name.move(t, []*postgrestest.Server{standby, primary}[n%2])
		conn, err := db.Conn(t.Context()) // so that the pool has connections to both
		require.NoError(t, err)
		b, err := other.Bootstrap(t.Context(), runner.token, nil)
		if n%2 == 1 || err == nil {
			require.NoError(t, err, "a token is not unknown, and nothing was rolled back")
			requireNamed(t, b, "A", fmt.Sprint("made-up-value-", n))
		}
		require.NotErrorIs(t, err, vault.ErrRollback)
		_, refused := errors.AsType[*vault.TokenError](err)
		require.False(t, refused, err)
		name.move(t, primary)
		require.NoError(t, conn.Close())
	}
}

func TestPostgres_Failover(t *testing.T) {
	t.Run("loses no acknowledged change to a standby that had received it", func(t *testing.T) {
		primary := postgrestest.Start(t)
		name := newHostname(t, primary)
		db := openPostgresDB(t, name.dsn())
		storage, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
		require.NoError(t, err)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		standby := primary.Standby(t, time.Hour) // until it is promoted
		w := &worker{storage: storage}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var group sync.WaitGroup
		var failure error
		group.Go(func() { failure = w.run(ctx) })
		reaches(t, &w.acknowledged, 20, "the store is in use")
		primary.Stop(t) // a clean stop waits until the standby has received all
		name.move(t, standby)
		reaches(t, &w.failed, 5, "the standby is not used")
		standby.Promote(t)
		reaches(t, &w.acknowledged, 20, "the store works with the new primary")
		cancel()
		group.Wait()
		require.NoError(t, failure, "no read shows an older state")
		require.GreaterOrEqual(t, sealNumber(mustRead(t, storage, testQuery).Path[1].Seal), int(w.acknowledged.Load()))
	})
}
