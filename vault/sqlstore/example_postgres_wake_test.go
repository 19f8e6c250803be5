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

// signal puts a token into c unless there is one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// listen signals wake whenever a process of the platform has written, until
// ctx ends. While it has no connection, the vault's own poll does the work.
func listen(ctx context.Context, dsn string, wake chan<- struct{}) {
	for ctx.Err() == nil {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			_, err = conn.Exec(ctx, "LISTEN satchel_written")
			for err == nil {
				signal(wake) // also once it listens: something may have been written before
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

// announce tells the other processes whenever this one has written, until ctx
// ends. What it fails to tell, their polls find.
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

// newAnnounced returns a vault whose writes reach the runners that wait at
// other processes without their waiting for a poll.
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

// Processes of a platform tell each other of writes through PostgreSQL.
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
