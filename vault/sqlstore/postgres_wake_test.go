package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// deaf is a store whose Changes finds nothing until it is awake.
type deaf struct {
	store.Store
	mu    sync.Mutex
	awake bool
}

func (d *deaf) Changes(ctx context.Context, since int64) (int64, []string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.awake {
		return 0, nil, nil
	}
	return d.Store.Changes(ctx, since)
}

func TestOpen_Wake(t *testing.T) {
	// The poll of the runners' vault finds nothing, so only a notification can wake
	// them. It uses the functions shown in docs/scale.md.
	t.Run("wakes waiting runners by a notification", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		t.Cleanup(func() { cancel(); group.Wait() })
		kek := keyringtest.NewFake("kek")
		keys, err := keyring.New(kek, nil)
		require.NoError(t, err)

		// The waiting process learns of writes only by notifications.
		heard, wake := make(chan struct{}, 1), make(chan struct{}, 1)
		group.Go(func() { listen(ctx, dsn, heard) })
		storage := &deaf{Store: openPostgres(t, dsn)}
		group.Go(func() {
			for {
				select {
				case <-heard:
					storage.mu.Lock()
					storage.awake = true
					storage.mu.Unlock()
					signal(wake)
				case <-ctx.Done():
					return
				}
			}
		})
		counters := &counting{Store: storage}
		other := openVault(t, counters, kek, wake)

		written := make(chan struct{}, 1)
		group.Go(func() { announce(ctx, openPostgresDB(t, dsn), written) })
		writer, err := vault.New(ctx, openPostgres(t, dsn), keys, &vault.Options{
			Observer: vault.Observer{Written: func(audit.Action) { signal(written) }},
		})
		require.NoError(t, err)
		put(t, writer, "acme", "A", "one")
		runners := newRunners(t, writer, "acme/web", 20)
		for round := range 5 {
			ended := waitSeated(t, other, counters, runners, 50*time.Second)
			time.Sleep(100 * time.Millisecond) // until the notifications of earlier writes have arrived
			storage.mu.Lock()
			storage.awake = false
			storage.mu.Unlock()
			put(t, writer, "acme", "A", fmt.Sprint("round ", round))
			at := time.Now()
			all := <-ended
			for i, e := range all {
				require.NoError(t, e.err)
				require.Less(t, e.at.Sub(at), generous)
				require.NotEqual(t, runners[i].last.Revision(), e.bundle.Revision())
				runners[i].last = e.bundle
			}
			t.Logf("after the write: %s", delays(at, all))
		}
		requireNamed(t, runners[0].last, "A", "round 4")
	})

	// The vaults are made by newAnnounced, as in the example.
	t.Run("connects the processes of the example", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		kek := keyringtest.NewFake("kek")
		open := func() *vault.Vault {
			keys, err := keyring.New(kek, nil)
			require.NoError(t, err)
			db, err := sql.Open("pgx", dsn)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			v, err := newAnnounced(ctx, dsn, db, keys)
			require.NoError(t, err)
			return v
		}
		writer, other := open(), open()
		put(t, writer, "acme", "A", "one")
		runners := newRunners(t, writer, "acme/web", 20)
		for round := range 5 {
			ended := wait(t.Context(), other, runners, 50*time.Second)
			time.Sleep(50 * time.Millisecond) // until most of them wait
			put(t, writer, "acme", "A", fmt.Sprint("round ", round))
			at := time.Now()
			all := <-ended
			for i, e := range all {
				require.NoError(t, e.err)
				runners[i].last = e.bundle
			}
			t.Logf("after the write: %s", delays(at, all))
		}
	})
}
