package keyring_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

// The ages of a cached key, with the spread of ±10 %: its background renewal is due at
// 10.8 minutes at the earliest and 13.2 at the latest, and it is past its soft age after
// at most 16.5.
const (
	stillFresh = 10 * time.Minute
	renewable  = 13*time.Minute + 20*time.Second
	pastSoft   = 17 * time.Minute
)

func TestKeyring_OpenKeyConcurrent(t *testing.T) {
	t.Run("a thousand concurrent opens make one call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			kek.Delay(100 * time.Millisecond)
			var callers sync.WaitGroup
			for range 1000 {
				callers.Go(func() {
					if err := open(t, keys, rec, acme); err != nil {
						t.Error(err)
					}
				})
			}
			callers.Wait()
			require.Equal(t, 1, kek.Unwraps())
		})
	})

	t.Run("a failure reaches all waiters after one call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			kek.Delay(100 * time.Millisecond)
			kek.Break(keyring.ErrDenied)
			var callers sync.WaitGroup
			var denied atomic.Int64
			for range 100 {
				callers.Go(func() {
					if open(t, keys, rec, acme) != nil {
						denied.Add(1)
					}
				})
			}
			callers.Wait()
			require.EqualValues(t, 100, denied.Load())
			require.Equal(t, 1, kek.Unwraps())
		})
	})

	t.Run("a canceled first caller does not affect the waiters", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			kek.Delay(time.Second)
			ctx, cancel := context.WithCancel(t.Context())
			var callers sync.WaitGroup
			callers.Go(func() {
				if _, err := keys.OpenKey(ctx, rec, acme); err == nil {
					t.Error("the first caller did not return at the end of its context")
				}
			})
			synctest.Wait()
			callers.Go(func() {
				if err := open(t, keys, rec, acme); err != nil {
					t.Errorf("the end of the first caller's context reached a waiter: %v", err)
				}
			})
			synctest.Wait()
			cancel()
			callers.Wait()
			require.Equal(t, 1, kek.Unwraps())
		})
	})

	t.Run("a call without waiters still fills the cache", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			kek.Delay(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := keys.OpenKey(ctx, rec, acme)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			time.Sleep(time.Minute)
			require.NoError(t, open(t, keys, rec, acme))
			require.Equal(t, 1, kek.Unwraps())
		})
	})

	t.Run("later changes to the arguments do not reach the call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			kek.Delay(time.Second)
			mine, c := bytes.Clone(rec), edit(acme, func(keyring.Context) {})
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := keys.OpenKey(ctx, mine, c)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			clear(mine)
			clear(c)
			time.Sleep(time.Minute)
			require.NoError(t, open(t, keys, rec, acme))
			require.Equal(t, 1, kek.Unwraps(), "the flight has copies")
		})
	})

	t.Run("a call that hangs is unavailable after five seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			kek.Delay(time.Hour)
			begin := time.Now()
			require.ErrorIs(t, open(t, keys, rec, acme), keyring.ErrUnavailable)
			require.Equal(t, 5*time.Second, time.Since(begin))
		})
	})

	t.Run("at most twenty calls are in flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			var recs []keyring.Record
			for i := range 300 {
				recs = append(recs, newRecord(t, keys, keyring.Context{"tenant": fmt.Sprint(i)}))
			}
			kek.Delay(time.Second)
			var callers sync.WaitGroup
			begin := time.Now()
			for i, rec := range recs {
				callers.Go(func() {
					if err := open(t, keys, rec, keyring.Context{"tenant": fmt.Sprint(i)}); err != nil {
						t.Error(err)
					}
				})
			}
			for range 20 {
				callers.Go(func() {
					key, _, err := keys.NewKey(t.Context(), acme)
					if err != nil {
						t.Error(err)
						return
					}
					key.Destroy()
				})
			}
			callers.Go(func() {
				if err := keys.Check(t.Context()); err != nil {
					t.Error(err)
				}
			})
			callers.Wait()
			require.Equal(t, 20, kek.MostCalls(), "opens, new keys and checks share the limit")
			require.Less(t, time.Since(begin), 20*time.Second, "the limit is used")
		})
	})

	t.Run("a queued call is dropped with its last waiter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			var recs []keyring.Record
			for range 21 {
				recs = append(recs, newRecord(t, keys, acme))
			}
			kek.Delay(4 * time.Second)
			var callers sync.WaitGroup
			for _, rec := range recs[:20] {
				callers.Go(func() { open(t, keys, rec, acme) })
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := keys.OpenKey(ctx, recs[20], acme)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			callers.Wait()
			synctest.Wait()
			require.Equal(t, 20, kek.Unwraps(), "a call without waiters is not made")
			require.NoError(t, open(t, keys, recs[20], acme), "no failure is remembered")
		})
	})

	// A caller whose context is done just when the flight lands returns its reference.
	t.Run("a caller that gives up holds no key", func(t *testing.T) {
		for range 50 {
			synctest.Test(t, func(t *testing.T) {
				kek, _ := newFake(t, "a")
				keys := newKeyring(t, kek, &keyring.Options{CacheEntries: 1})
				rec, pushes := newRecord(t, keys, acme), newRecord(t, keys, other)
				kek.Delay(time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var callers sync.WaitGroup
				for range 4 {
					callers.Go(func() {
						if key, err := keys.OpenKey(ctx, rec, acme); err == nil {
							key.Destroy()
						}
					})
				}
				key, err := keys.OpenKey(t.Context(), rec, acme)
				require.NoError(t, err)
				bytesOfKey := keyring.KeyBytes(key)
				key.Destroy()
				callers.Wait()
				require.NoError(t, open(t, keys, pushes, other))
				require.Equal(t, make([]byte, 32), bytesOfKey, "evicted without handles, and therefore cleared")
			})
		}
	})
}

func TestKeyring_OpenKeyCached(t *testing.T) {
	t.Run("a cached key costs no call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			for range 100 {
				require.NoError(t, open(t, keys, rec, acme))
			}
			time.Sleep(stillFresh)
			require.NoError(t, open(t, keys, rec, acme))
			synctest.Wait()
			require.Equal(t, 1, kek.Unwraps())
		})
	})

	t.Run("two tenants never share an entry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			mine, theirs := newRecord(t, keys, acme), newRecord(t, keys, other)
			kek.Delay(time.Second)
			var callers sync.WaitGroup
			ids := make([][16]byte, 2)
			for i, test := range []struct {
				rec keyring.Record
				c   keyring.Context
			}{{mine, acme}, {theirs, other}} {
				callers.Go(func() {
					key, err := keys.OpenKey(t.Context(), test.rec, test.c)
					if err != nil {
						t.Error(err)
						return
					}
					defer key.Destroy()
					ids[i] = key.ID()
				})
				callers.Go(func() {
					// The other tenant's record under this tenant's context, concurrently.
					wrong := []keyring.Record{theirs, mine}[i]
					if open(t, keys, wrong, test.c) == nil {
						t.Error("a tenant opened another's key")
					}
				})
			}
			callers.Wait()
			require.NotEqual(t, ids[0], ids[1])
			require.Equal(t, 4, kek.Unwraps(), "each pair of record and context has its own call")
		})
	})

	t.Run("a record with another MAC misses the cache", func(t *testing.T) {
		kek, keys := newFake(t, "a")
		rec := newRecord(t, keys, acme)
		require.NoError(t, open(t, keys, rec, acme))
		forged := bytes.Clone(rec)
		forged[len(forged)-1] ^= 1
		require.ErrorIs(t, open(t, keys, forged, acme), keyring.ErrTampered)
		require.Equal(t, 2, kek.Unwraps(), "the entire record is the cache key")
		require.NoError(t, open(t, keys, rec, acme))
		require.Equal(t, 2, kek.Unwraps(), "a forged record evicts nothing")
	})
}

func TestKeyring_OpenKeyRenewal(t *testing.T) {
	t.Run("a key in use is renewed before its soft age", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			require.NoError(t, open(t, keys, rec, acme))
			time.Sleep(renewable)
			kek.Delay(time.Second)
			begin := time.Now()
			for range 10 {
				require.NoError(t, open(t, keys, rec, acme))
			}
			require.Zero(t, time.Since(begin), "the caller does not wait for the renewal")
			time.Sleep(2 * time.Second)
			require.Equal(t, 2, kek.Unwraps(), "one call renews it")

			time.Sleep(stillFresh)
			require.NoError(t, open(t, keys, rec, acme))
			require.Equal(t, 2, kek.Unwraps(), "it is fresh for as long again")
		})
	})

	t.Run("a renewal ends within five seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			require.NoError(t, open(t, keys, rec, acme))
			time.Sleep(renewable)
			kek.Delay(time.Hour)
			require.NoError(t, open(t, keys, rec, acme))
			// The bubble does not end before the goroutine.
			time.Sleep(5 * time.Second)
			synctest.Wait()
			require.Equal(t, 2, kek.Unwraps())
			kek.Delay(0)
			require.NoError(t, open(t, keys, rec, acme), "the key remains in use")
		})
	})

	t.Run("a key past its soft age is unwrapped before it is used", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			require.NoError(t, open(t, keys, rec, acme))
			time.Sleep(pastSoft)
			kek.Delay(time.Second)
			begin := time.Now()
			require.NoError(t, open(t, keys, rec, acme))
			require.Equal(t, time.Second, time.Since(begin), "the caller waits for the key service")
			require.Equal(t, 2, kek.Unwraps())
		})
	})

	t.Run("the soft age is spread", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			var recs []keyring.Record
			for range 200 {
				recs = append(recs, newRecord(t, keys, acme))
			}
			for _, rec := range recs {
				require.NoError(t, open(t, keys, rec, acme))
			}
			time.Sleep(12 * time.Minute) // 80 % of fifteen
			before := kek.Unwraps()
			for _, rec := range recs {
				require.NoError(t, open(t, keys, rec, acme))
			}
			synctest.Wait()
			renewed := kek.Unwraps() - before
			require.Greater(t, renewed, 20, "some keys are renewed")
			require.Less(t, renewed, 180, "others are not")
		})
	})

	t.Run("a refused renewal evicts the key immediately", func(t *testing.T) {
		for _, class := range []error{keyring.ErrDenied, keyring.ErrKeyState} {
			synctest.Test(t, func(t *testing.T) {
				kek, keys := newFake(t, "a")
				rec := newRecord(t, keys, acme)
				key, err := keys.OpenKey(t.Context(), rec, acme)
				require.NoError(t, err)
				bytesOfKey := keyring.KeyBytes(key)
				key.Destroy()
				time.Sleep(renewable)
				kek.Break(class)
				require.NoError(t, open(t, keys, rec, acme), "this open begins the renewal")
				synctest.Wait()
				require.Equal(t, make([]byte, 32), bytesOfKey, "the key is cleared, long before its soft age")
				require.ErrorIs(t, open(t, keys, rec, acme), class)
			})
		}
	})
}

func TestKeyring_OpenKeyOutage(t *testing.T) {
	t.Run("a cached key stays in use for an hour", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			kek, _ := newFake(t, "a")
			keys := newKeyring(t, kek, &keyring.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			rec := newRecord(t, keys, acme)
			begin := time.Now()
			require.NoError(t, open(t, keys, rec, acme))
			kek.Break(keyring.ErrUnavailable)
			for time.Since(begin) < 59*time.Minute {
				time.Sleep(time.Minute)
				require.NoError(t, open(t, keys, rec, acme), "after %s", time.Since(begin))
			}
			synctest.Wait()
			require.Contains(t, log.String(), "a cached data key stays in use")
			for time.Since(begin) < time.Hour {
				require.NoError(t, open(t, keys, rec, acme), "after %s", time.Since(begin))
				time.Sleep(time.Second)
			}
			for range 61 { // while the last failure is remembered, and after that
				require.ErrorIs(t, open(t, keys, rec, acme), keyring.ErrUnavailable, "no key is used for longer than an hour")
				time.Sleep(time.Second)
			}

			kek.Break(nil)
			time.Sleep(time.Minute)
			require.NoError(t, open(t, keys, rec, acme))
		})
	})

	t.Run("calls for a key past its soft age back off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			require.NoError(t, open(t, keys, rec, acme))
			time.Sleep(pastSoft)
			kek.Break(keyring.ErrUnavailable)
			for range 100 {
				require.NoError(t, open(t, keys, rec, acme))
				time.Sleep(100 * time.Millisecond)
			}
			require.Equal(t, 1+4, kek.Unwraps(), "after 0, 1, 3 and 7 seconds")
		})
	})

	t.Run("other failures evict a key past its soft age", func(t *testing.T) {
		for _, class := range []error{keyring.ErrDenied, keyring.ErrKeyState, keyring.ErrNoKey, keyring.ErrTampered} {
			synctest.Test(t, func(t *testing.T) {
				kek, keys := newFake(t, "a")
				rec := newRecord(t, keys, acme)
				require.NoError(t, open(t, keys, rec, acme))
				time.Sleep(pastSoft)
				kek.Break(class)
				require.ErrorIs(t, open(t, keys, rec, acme), class)
				kek.Break(keyring.ErrUnavailable)
				require.ErrorIs(t, open(t, keys, rec, acme), keyring.ErrUnavailable, "the cache has dropped the key")
			})
		}
	})

	t.Run("calls for a record back off up to thirty seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec, another := newRecord(t, keys, acme), newRecord(t, keys, other)
			kek.Break(keyring.ErrUnavailable)
			var calls []time.Duration // when a call was made
			begin := time.Now()
			for time.Since(begin) < 3*time.Minute {
				before := kek.Unwraps()
				require.ErrorIs(t, open(t, keys, rec, acme), keyring.ErrUnavailable)
				if kek.Unwraps() > before {
					calls = append(calls, time.Since(begin))
				}
				time.Sleep(100 * time.Millisecond)
			}
			var want []time.Duration
			for _, seconds := range []int{0, 1, 3, 7, 15, 31, 61, 91, 121, 151} {
				want = append(want, time.Duration(seconds)*time.Second)
			}
			require.Equal(t, want, calls, "1, 2, 4, 8, 16 and then 30 seconds apart")
			require.ErrorIs(t, open(t, keys, another, other), keyring.ErrUnavailable)
			require.Equal(t, len(want)+1, kek.Unwraps(), "a failure of one record does not affect another")

			kek.Break(nil)
			time.Sleep(30 * time.Second)
			require.NoError(t, open(t, keys, rec, acme))
		})
	})

	t.Run("a later outage starts at one second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			kek.Break(keyring.ErrUnavailable)
			for range 8 {
				require.Error(t, open(t, keys, rec, acme))
				time.Sleep(30 * time.Second)
			}
			time.Sleep(time.Hour)
			require.Error(t, open(t, keys, rec, acme))
			calls := kek.Unwraps()
			time.Sleep(time.Second)
			require.Error(t, open(t, keys, rec, acme))
			require.Equal(t, calls+1, kek.Unwraps())
		})
	})

	t.Run("a success resets the back-off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, _ := newFake(t, "a")
			keys := newKeyring(t, kek, &keyring.Options{SoftAge: time.Second, HardAge: 2 * time.Second})
			rec := newRecord(t, keys, acme)
			kek.Break(keyring.ErrUnavailable)
			for range 4 { // until the next wait is eight seconds
				require.Error(t, open(t, keys, rec, acme))
				time.Sleep(4 * time.Second)
			}
			time.Sleep(4 * time.Second)
			kek.Break(nil)
			require.NoError(t, open(t, keys, rec, acme))
			time.Sleep(2 * time.Second)
			kek.Break(keyring.ErrUnavailable)
			require.Error(t, open(t, keys, rec, acme))
			calls := kek.Unwraps()
			time.Sleep(time.Second)
			require.Error(t, open(t, keys, rec, acme))
			require.Equal(t, calls+1, kek.Unwraps(), "the next outage starts at one second again")
		})
	})

	t.Run("other failures are not remembered", func(t *testing.T) {
		for _, class := range []error{keyring.ErrDenied, keyring.ErrKeyState, keyring.ErrNoKey} {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			kek.Break(class)
			require.ErrorIs(t, open(t, keys, rec, acme), class)
			kek.Break(nil)
			require.NoError(t, open(t, keys, rec, acme), "a key that is enabled again works immediately")
		}
	})
}

func TestOptions_CacheEntries(t *testing.T) {
	t.Run("the least recently used key is evicted", func(t *testing.T) {
		kek, _ := newFake(t, "a")
		keys := newKeyring(t, kek, &keyring.Options{CacheEntries: 2})
		a, b, c := newRecord(t, keys, acme), newRecord(t, keys, acme), newRecord(t, keys, acme)
		for _, rec := range []keyring.Record{a, b, a, c, a} {
			require.NoError(t, open(t, keys, rec, acme))
		}
		require.Equal(t, 3, kek.Unwraps())
		require.NoError(t, open(t, keys, b, acme))
		require.Equal(t, 4, kek.Unwraps(), "b was used least recently")
	})

	t.Run("the default is 1,024 keys", func(t *testing.T) {
		kek, keys := newFake(t, "a")
		var recs []keyring.Record
		for range 1025 {
			recs = append(recs, newRecord(t, keys, acme))
		}
		for _, rec := range recs {
			require.NoError(t, open(t, keys, rec, acme))
		}
		require.NoError(t, open(t, keys, recs[1], acme))
		require.Equal(t, 1025, kek.Unwraps(), "1,024 are kept")
		require.NoError(t, open(t, keys, recs[0], acme))
		require.Equal(t, 1026, kek.Unwraps(), "the 1,025th evicted the first")
	})

	t.Run("failures evict no good key", func(t *testing.T) {
		kek, _ := newFake(t, "a")
		keys := newKeyring(t, kek, &keyring.Options{CacheEntries: 2})
		good := newRecord(t, keys, acme)
		require.NoError(t, open(t, keys, good, acme))
		bad := []keyring.Record{newRecord(t, keys, acme), newRecord(t, keys, acme), newRecord(t, keys, acme)}
		kek.Break(keyring.ErrUnavailable)
		for _, rec := range bad {
			require.Error(t, open(t, keys, rec, acme))
		}
		require.NoError(t, open(t, keys, good, acme))
	})
}

func TestOptions_HardAge(t *testing.T) {
	t.Run("a key past it is cleared when another key is opened", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, keys := newFake(t, "a")
			idle, next := newRecord(t, keys, acme), newRecord(t, keys, other)
			key, err := keys.OpenKey(t.Context(), idle, acme)
			require.NoError(t, err)
			bytesOfKey := keyring.KeyBytes(key)
			key.Destroy()
			time.Sleep(time.Hour)
			require.NoError(t, open(t, keys, next, other))
			require.Equal(t, make([]byte, 32), bytesOfKey)
		})
	})

	t.Run("a key past it is cleared within a minute of use of the cache", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, keys := newFake(t, "a")
			key, err := keys.OpenKey(t.Context(), newRecord(t, keys, acme), acme)
			require.NoError(t, err)
			bytesOfKey := keyring.KeyBytes(key)
			key.Destroy()
			time.Sleep(35 * time.Minute)
			for range 26 {
				time.Sleep(time.Minute)
				require.NoError(t, open(t, keys, newRecord(t, keys, other), other))
			}
			require.Equal(t, make([]byte, 32), bytesOfKey)
		})
	})

	t.Run("a key past it is cleared when another key is renewed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, keys := newFake(t, "a")
			key, err := keys.OpenKey(t.Context(), newRecord(t, keys, acme), acme)
			require.NoError(t, err)
			bytesOfKey := keyring.KeyBytes(key)
			key.Destroy()
			inUse := newRecord(t, keys, other)
			for range 80 {
				require.NoError(t, open(t, keys, inUse, other))
				time.Sleep(time.Minute)
			}
			require.Equal(t, make([]byte, 32), bytesOfKey, "an old key is cleared even if no new one is opened")
		})
	})

	t.Run("the maximum is a year", func(t *testing.T) {
		const year = 365 * 24 * time.Hour
		synctest.Test(t, func(t *testing.T) {
			kek, _ := newFake(t, "a")
			keys := newKeyring(t, kek, &keyring.Options{SoftAge: year, HardAge: year})
			rec := newRecord(t, keys, acme)
			require.NoError(t, open(t, keys, rec, acme))
			time.Sleep(year / 2)
			require.NoError(t, open(t, keys, rec, acme))
			synctest.Wait()
			require.Equal(t, 1, kek.Unwraps())
			time.Sleep(year / 2)
			require.NoError(t, open(t, keys, rec, acme))
			require.Equal(t, 2, kek.Unwraps())
		})
	})

	t.Run("limits an outage, and SoftAge the calls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, _ := newFake(t, "a")
			keys := newKeyring(t, kek, &keyring.Options{SoftAge: time.Minute, HardAge: 2 * time.Minute})
			rec := newRecord(t, keys, acme)
			require.NoError(t, open(t, keys, rec, acme))
			kek.Break(keyring.ErrUnavailable)
			time.Sleep(70 * time.Second)
			require.NoError(t, open(t, keys, rec, acme))
			require.Equal(t, 2, kek.Unwraps())
			time.Sleep(50 * time.Second)
			require.ErrorIs(t, open(t, keys, rec, acme), keyring.ErrUnavailable)
		})
	})
}
