package sqlstore_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// counting counts the reads and writes of its storage.
type counting struct {
	store.Store
	seals, messages atomic.Int64 // reads without and with encrypted rows
	writes          atomic.Int64 // besides uses
}

func (c *counting) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	snap, err := c.Store.Read(ctx, q)
	if err != nil {
		return nil, err
	}
	encrypted := len(snap.Keys) + len(snap.Versions) + len(snap.History)
	for _, s := range snap.Path {
		encrypted += len(s.Secrets) + len(s.Minted)
	}
	if encrypted > 0 {
		c.messages.Add(1)
	} else {
		c.seals.Add(1)
	}
	return snap, nil
}

func (c *counting) Apply(ctx context.Context, change *store.Change) error {
	c.writes.Add(1)
	return c.Store.Apply(ctx, change)
}

// A poll that finds no change costs one read of seals, once the process has verified
// them. It calls no key service, and reads no message and no key record.
func TestStore_UnchangedPoll(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) store.Store{
		"SQLite":     func(t *testing.T) store.Store { return openStore(t, newFile(t)) },
		"PostgreSQL": func(t *testing.T) store.Store { return openPostgres(t, postgrestest.Schema(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			kek := keyringtest.NewFake("kek")
			storage := &counting{Store: open(t)}
			writer := openVault(t, storage, kek, nil)
			for i := range 50 {
				put(t, writer, []string{"acme", "acme/web", "acme/web/pool-a"}[i%3], "SECRET_"+string(rune('A'+i/10))+string(rune('0'+i%10)), "a value of some length")
			}
			r := newRunners(t, writer, "acme/web/pool-a", 1)[0]
			require.Equal(t, 50, r.last.Len())
			require.Positive(t, storage.messages.Load(), "the counters work")

			cold := openVault(t, storage, kek, nil)
			web := httptest.NewServer(vaulthttp.Runners(cold, &vaulthttp.Options{Logger: slog.New(slog.DiscardHandler)}))
			t.Cleanup(web.Close)
			ask := func(revision, prefer string) int {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+"/runners/bootstrap", nil)
				require.NoError(t, err)
				req.Header.Set("Authorization", "Bearer "+r.token.Reveal())
				req.Header.Set("If-None-Match", `"`+revision+`"`)
				if prefer != "" {
					req.Header.Set("Prefer", prefer)
				}
				response, err := web.Client().Do(req)
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				return response.StatusCode
			}
			require.Equal(t, http.StatusNotModified, ask(r.last.Revision(), ""), "the first poll verifies the seals")
			kek.Break(keyring.ErrUnavailable)
			wraps, unwraps := kek.Wraps(), kek.Unwraps()
			seals, messages, writes := storage.seals.Load(), storage.messages.Load(), storage.writes.Load()
			for range 10 {
				require.Equal(t, http.StatusNotModified, ask(r.last.Revision(), ""))
			}
			require.Equal(t, seals+10, storage.seals.Load(), "one read each")
			require.Equal(t, http.StatusNotModified, ask(r.last.Revision(), "wait=1"))
			require.LessOrEqual(t, storage.seals.Load(), seals+14, "a waiting poll reads again when it starts to wait, after the first check for changes, and at its end")
			require.Equal(t, []int64{messages, writes}, []int64{storage.messages.Load(), storage.writes.Load()}, "no encrypted row is read, and no audit entry is written")
			require.Equal(t, []int{wraps, unwraps}, []int{kek.Wraps(), kek.Unwraps()}, "no key-service call")

			// The same counters detect a request that decrypts.
			require.Equal(t, http.StatusOK, ask("", ""), "the key is cached")
			require.Greater(t, storage.messages.Load(), messages)
			require.Greater(t, storage.writes.Load(), writes)
		})
	}
}
