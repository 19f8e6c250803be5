package vaulthttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// healthOf sends a request to a handler; the path does not matter.
func healthOf(t testing.TB, h http.Handler, method string) *reply {
	t.Helper()
	return serve(h, httptest.NewRequestWithContext(t.Context(), method, "/", nil))
}

// hangs is a storage whose Ping blocks until the context is done.
type hangs struct {
	store.Store
	asked atomic.Int64
}

func (h *hangs) Ping(ctx context.Context) error {
	h.asked.Add(1)
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestHealth(t *testing.T) {
	h := vaulthttp.Health()
	got := healthOf(t, h, "GET")
	require.Equal(t, 200, got.status)
	require.JSONEq(t, `{"status":"ok"}`, string(got.body))
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.Equal(t, 200, healthOf(t, h, "HEAD").status)
	post := healthOf(t, h, "POST")
	requireRefusal(t, post, 405, "", "only reading is allowed")
	require.Equal(t, "GET, HEAD", post.header.Get("Allow"))
}

func TestReady(t *testing.T) {
	t.Run("follows the storage and the key service", func(t *testing.T) {
		const clue = "clue-from-the-database"
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "a")
			ready := vaulthttp.Ready(f.Vault, nil)
			status := func() int { return healthOf(t, ready, "GET").status }
			require.JSONEq(t, `{"status":"ready"}`, string(healthOf(t, ready, "GET").body))

			f.Storage.Down.Set(errors.New(clue))
			require.Equal(t, 200, status(), "a result is reused for a second")
			time.Sleep(time.Second)
			got := healthOf(t, ready, "GET")
			requireRefusal(t, got, 503, "Storage is unavailable", "nothing works without storage")
			require.NotContains(t, string(got.body), clue, "the response does not show the error")
			require.Contains(t, f.Log.Text(), clue, "the log does")
			require.Equal(t, "1", got.header.Get("Retry-After"))
			f.Storage.Down.Set(nil)
			time.Sleep(time.Second)
			require.Equal(t, 200, status(), "recovery of the storage is noticed")

			f.KEK.Break(keyring.ErrUnavailable)
			time.Sleep(2 * time.Minute) // the keyring reuses its check for one
			blip := healthOf(t, ready, "GET")
			require.Equal(t, 200, blip.status, "an outage of the key service does not matter: keys in memory serve")
			require.Contains(t, string(blip.body), "unavailable", "the response mentions it")

			f.KEK.Break(keyring.ErrDenied)
			time.Sleep(2 * time.Minute)
			requireRefusal(t, healthOf(t, ready, "GET"), 503, "The key service rejected the vault's request", "it needs an operator")
			f.KEK.Break(nil)
			time.Sleep(2 * time.Minute)
			require.Equal(t, 200, status())
		})
	})

	t.Run("needs something stored, the key of it, and writable storage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			ready := vaulthttp.Ready(f.Vault, nil)
			refused := func(h http.Handler, detail string) {
				t.Helper()
				got := healthOf(t, h, "GET")
				requireRefusal(t, got, 503, detail, "not ready")
				require.NotEmpty(t, got.header.Get("Retry-After"))
			}
			refused(ready, "Nothing is stored here yet")
			f.MustPut(t, "acme", "A", "a")
			time.Sleep(time.Second)
			require.Equal(t, 200, healthOf(t, ready, "GET").status)
			refused(vaulthttp.Ready(newFixtureOver(t, f.Storage.Store, keyringtest.NewFake("other")).Vault, nil), "The configured keys do not open the stored data")
			f.Storage.FailApply.Set(errors.New("read-only"))
			time.Sleep(time.Second)
			refused(ready, "Storage is unavailable")
		})
	})

	t.Run("needs the key service once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rows, kek := begun(t)
			kek.Break(keyring.ErrUnavailable)
			f := newFixtureOver(t, rows, kek)
			ready := vaulthttp.Ready(f.Vault, nil)
			requireRefusal(t, healthOf(t, ready, "GET"), 503, "has not responded since this process started", "there are no keys in memory")
			kek.Break(nil)
			time.Sleep(time.Minute)
			require.Equal(t, 200, healthOf(t, ready, "GET").status)
			kek.Break(keyring.ErrUnavailable)
			time.Sleep(2 * time.Minute)
			require.Equal(t, 200, healthOf(t, ready, "GET").status, "the process has reached it once")
		})
	})

	t.Run("treats a hanging key service as unavailable", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "a")
			ready := vaulthttp.Ready(f.Vault, nil)
			require.Equal(t, 200, healthOf(t, ready, "GET").status)
			f.KEK.Delay(time.Hour)
			time.Sleep(2 * time.Minute)
			began := time.Now()
			require.Equal(t, 200, healthOf(t, ready, "GET").status, "a timeout is not a refusal")
			require.LessOrEqual(t, time.Since(began), 2*time.Second)
			time.Sleep(time.Minute) // the keyring's own check ends
		})
	})

	t.Run("checks a hanging storage only once, for two seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rows, kek := begun(t)
			storage := &hangs{Store: rows}
			f := newFixtureOver(t, storage, kek)
			ready := vaulthttp.Ready(f.Vault, nil)
			began := time.Now()
			var group sync.WaitGroup
			for range 100 {
				group.Go(func() {
					if got := healthOf(t, ready, "GET"); got.status != 503 {
						t.Errorf("a hanging storage counts as unreachable; the status is %d", got.status)
					}
				})
			}
			group.Wait()
			require.Equal(t, 2*time.Second, time.Since(began), "a check takes two seconds at most")
			require.Equal(t, int64(1), storage.asked.Load(), "concurrent requests share a check")
		})
	})

	t.Run("completes a shared check after the first client has gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rows, kek := begun(t)
			f := newFixtureOver(t, slow{rows}, kek)
			ready := vaulthttp.Ready(f.Vault, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			go serve(ready, httptest.NewRequestWithContext(ctx, "GET", "/readyz", nil))
			synctest.Wait()
			require.Equal(t, 200, healthOf(t, ready, "GET").status)
		})
	})

	t.Run("lets a client leave a shared check", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rows, kek := begun(t)
			f := newFixtureOver(t, &hangs{Store: rows}, kek)
			ready := vaulthttp.Ready(f.Vault, nil)
			go healthOf(t, ready, "GET")
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			serve(ready, httptest.NewRequestWithContext(ctx, "GET", "/readyz", nil))
			require.Equal(t, time.Second, time.Since(began), "a shared check does not outlive the client's context")
			time.Sleep(2 * time.Second)
		})
	})
}

// slow is a storage that takes a second for Ping.
type slow struct{ store.Store }

func (s slow) Ping(ctx context.Context) error {
	time.Sleep(time.Second)
	return s.Store.Ping(ctx)
}

// begun returns a storage in which a tenant is stored, and the key service.
func begun(t *testing.T) (store.Store, *keyringtest.Fake) {
	t.Helper()
	f := newFixture(t)
	f.MustPut(t, "acme", "A", "a")
	return f.Storage.Store, f.KEK
}
