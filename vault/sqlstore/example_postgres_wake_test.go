package sqlstore_test

import (
	"context"
	"database/sql"
	"log"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

// signal sends to c unless its buffer is full.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// listen signals wake after each write of a process of the platform, until ctx is
// done. While it has no connection, the vault's own poll finds the writes.
func listen(ctx context.Context, dsn string, wake chan<- struct{}) {
	for ctx.Err() == nil {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			_, err = conn.Exec(ctx, "LISTEN satchel_written")
			for err == nil {
				signal(wake) // initially too, because of writes before LISTEN
				_, err = conn.WaitForNotification(ctx)
			}
			_ = conn.Close(context.WithoutCancel(ctx))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// announce notifies the other processes of the writes of this one, until ctx is
// done. If a notification fails, their polls find the write.
func announce(ctx context.Context, db *sql.DB, written <-chan struct{}) {
	for {
		select {
		case <-written:
			_, _ = db.ExecContext(ctx, "SELECT pg_notify('satchel_written', '')")
		case <-ctx.Done():
			return
		}
	}
}

// newAnnounced returns a vault whose writes reach runners that wait at other
// processes without the delay of a poll.
func newAnnounced(ctx context.Context, dsn string, db *sql.DB, keys *keyring.Keyring) (*vault.Vault, error) {
	storage, err := sqlstore.Open(ctx, db, sqlstore.Postgres)
	if err != nil {
		return nil, err
	}
	wake, written := make(chan struct{}, 1), make(chan struct{}, 1)
	go listen(ctx, dsn, wake)
	go announce(ctx, db, written)
	return vault.New(ctx, storage, keys, &vault.Options{
		Wake:     wake,
		Observer: vault.Observer{Written: func(audit.Action) { signal(written) }},
	})
}

// Processes of a platform notify each other of writes through PostgreSQL.
func ExampleOpen_wake() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	const dsn = "postgres://platform@db.internal/platform"
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(20)
	var keys *keyring.Keyring // see package keyring
	v, err := newAnnounced(ctx, dsn, db, keys)
	if err != nil {
		log.Fatal(err)
	}
	_ = v // serve it with vaulthttp.Runners
}
