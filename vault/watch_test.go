package vault_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// These tests run in synctest bubbles, which end only when every goroutine that a
// vault may have started has ended.

// poll is the longest time until a vault sees the write of another process.
const poll = 250 * time.Millisecond

// answer is the outcome of a wait.
type answer struct {
	b    *bundle.Bundle
	err  error
	took time.Duration
}

// wait requests a bundle for token in the background, and waits up to d for a change.
func (f *fixture) wait(ctx context.Context, token bundle.Value, revision string, d time.Duration) <-chan answer {
	answered := make(chan answer, 1)
	begin := time.Now()
	go func() {
		b, err := f.Bootstrap(ctx, token, &vault.BootstrapRequest{IfNoneMatch: revision, Wait: d})
		answered <- answer{b, err, time.Since(begin)}
	}()
	return answered
}

// tryPut is MustPut for goroutines other than the test's.
func (f *fixture) tryPut(t *testing.T, scope, name, value string) {
	if _, err := f.Put(t.Context(), scope, name, bundle.NewValue(value), nil); err != nil {
		t.Errorf("putting during a wait: %v", err)
	}
}

// begin returns a fixture in a bubble with one secret, a token for a scope two levels
// below it and the revision of that token's bundle.
func begin(t *testing.T) (f *fixture, token bundle.Value, revision string) {
	f = newFixture(t)
	f.MustPut(t, "acme", "A", "one")
	f.MustPut(t, "globex", "A", "one")
	token = f.MustIssue(t, "acme/web/pool-a")
	return f, token, f.Bundle(t, token).Revision()
}

func TestWatch_LocalWrite(t *testing.T) {
	for about, write := range map[string]func(t *testing.T, f *fixture) error{
		"in the scope": func(t *testing.T, f *fixture) error { f.MustPut(t, "acme/web/pool-a", "B", "two"); return nil },
		"above it":     func(t *testing.T, f *fixture) error { f.MustPut(t, "acme", "A", "two"); return nil },
		"a tombstone":  func(t *testing.T, f *fixture) error { _, err := f.Hide(t.Context(), "acme/web", "A"); return err },
		"a deletion":   func(t *testing.T, f *fixture) error { return f.Delete(t.Context(), "acme", "A") },
	} {
		t.Run(about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, token, revision := begin(t)
				answered := f.wait(t.Context(), token, revision, 50*time.Second)
				time.Sleep(7 * time.Second)
				require.NoError(t, write(t, f))
				got := <-answered
				require.NoError(t, got.err)
				require.NotEqual(t, revision, got.b.Revision())
				require.Equal(t, 7*time.Second, got.took, "no time passes")
			})
		})
	}
}

func TestWatch_RemoteWrite(t *testing.T) {
	for _, after := range []time.Duration{0, 1, time.Millisecond, 100 * time.Millisecond, poll - 1, poll, poll + 1, 49 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, token, revision := begin(t)
				answered := f.wait(t.Context(), token, revision, 50*time.Second)
				time.Sleep(after)
				f.process(t).MustPut(t, "acme/web", "A", "two")
				got := <-answered
				require.NoError(t, got.err)
				require.Equal(t, map[string]string{"A": "two"}, reveal(got.b))
				require.LessOrEqual(t, got.took-after, poll)
			})
		})
	}
}

func TestWatch_FirstPoll(t *testing.T) {
	// The write comes after the n-th read of the seals: before the waiter has
	// joined, and after.
	for n := 1; n <= 2; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, token, revision := begin(t)
				other := f.process(t)
				looks := 0
				f.Storage.OnRead(func(store.Query, *store.Snapshot) {
					if looks++; looks == n {
						other.tryPut(t, "acme", "A", "two")
					}
				})
				got := <-f.wait(t.Context(), token, revision, 50*time.Second)
				require.NoError(t, got.err)
				require.Equal(t, map[string]string{"A": "two"}, reveal(got.b))
				require.LessOrEqual(t, got.took, poll)
			})
		})
	}
}

func TestWatch_Join(t *testing.T) {
	for _, local := range []bool{true, false} {
		t.Run(fmt.Sprintf("local=%t", local), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, token, revision := begin(t)
				globex := f.MustIssue(t, "globex")
				polling := f.wait(t.Context(), globex, f.Bundle(t, globex).Revision(), 50*time.Second)
				time.Sleep(time.Second)
				writer := f
				if !local {
					writer = f.process(t)
				}
				var looks atomic.Int64
				f.Storage.OnRead(func(store.Query, *store.Snapshot) {
					if looks.Add(1) == 1 {
						writer.tryPut(t, "acme", "A", "two")
						time.Sleep(2 * poll) // the poll has seen the change before there was a waiter to wake
					}
				})
				got := <-f.wait(t.Context(), token, revision, 40*time.Second)
				require.NoError(t, got.err)
				require.Equal(t, map[string]string{"A": "two"}, reveal(got.b))
				require.LessOrEqual(t, got.took, 3*poll)
				require.ErrorIs(t, (<-polling).err, vault.ErrUnchanged)
			})
		})
	}
}

func TestWatch(t *testing.T) {
	t.Run("removes every waiter when its wait ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			ctx, cancel := context.WithCancel(t.Context())
			ended := []<-chan answer{f.wait(t.Context(), token, revision, time.Second), f.wait(t.Context(), token, revision, 50*time.Second), f.wait(ctx, token, revision, 50*time.Second)}
			synctest.Wait()
			require.Equal(t, 3, vault.Waiting(f.Vault))
			cancel()
			<-ended[2]
			<-ended[0]
			require.Equal(t, 1, vault.Waiting(f.Vault))
			f.MustPut(t, "acme", "A", "two")
			<-ended[1]
			require.Zero(t, vault.Waiting(f.Vault))
		})
	})

	t.Run("ends a wait when the token expires", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "one")
			end := time.Now().Add(20 * time.Second).UTC().Truncate(time.Microsecond)
			token := f.MustIssue(t, "acme", vault.TokenOptions{Expires: end})
			got := <-f.wait(t.Context(), token, f.Bundle(t, token).Revision(), 50*time.Second)
			requireReason(t, got.err, vault.TokenExpired, "expired while it waited")
			require.WithinDuration(t, end, time.Now(), 0)
		})
	})

	t.Run("ends a wait with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			reason := errors.New("shutting down")
			ctx, cancel := context.WithCancelCause(t.Context())
			first := f.wait(ctx, token, revision, 50*time.Second) // it polls
			second := f.wait(ctx, token, revision, 50*time.Second)
			synctest.Wait()
			spared := f.wait(t.Context(), token, revision, 50*time.Second)
			time.Sleep(time.Second)
			cancel(reason)
			for _, answered := range []<-chan answer{first, second} {
				got := <-answered
				require.ErrorIs(t, got.err, reason)
				require.Equal(t, time.Second, got.took)
			}
			f.process(t).MustPut(t, "acme", "A", "two")
			got := <-spared
			require.NoError(t, got.err, "the other runner continues to wait, and polling continues")
			require.LessOrEqual(t, got.took, time.Second+poll)
			require.Zero(t, f.Log.Errors(), "a canceled request is not logged as an error")
		})
	})

	t.Run("polls once for many waiters", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			tokens := []bundle.Value{token, f.MustIssue(t, "acme"), f.MustIssue(t, "globex")}
			revisions := []string{revision, f.Bundle(t, tokens[1]).Revision(), f.Bundle(t, tokens[2]).Revision()}
			var waiting []<-chan answer
			for i := range 1000 {
				waiting = append(waiting, f.wait(t.Context(), tokens[i%3], revisions[i%3], 30*time.Second))
			}
			other := f.process(t)
			other.MustPut(t, "globex", "A", "one") // which opens the data keys
			time.Sleep(time.Second)
			reads, changes, unwraps := f.Storage.Reads.Load(), f.Storage.Polls.Load(), f.KEK.Unwraps()
			time.Sleep(20 * time.Second)
			require.InDelta(t, 80, f.Storage.Polls.Load()-changes, 1, "four polls a second, however many runners wait")
			require.Equal(t, reads, f.Storage.Reads.Load(), "while nothing changes, waiters read nothing")

			other.MustPut(t, "globex", "A", "two")
			time.Sleep(poll)
			// Each reads the seals, its bundle, and at most the head of the audit chain.
			require.LessOrEqual(t, f.Storage.Reads.Load()-reads, int64(3*334), "a change wakes only the runners that it affects")
			unchanged := 0
			for _, answered := range waiting {
				if got := <-answered; errors.Is(got.err, vault.ErrUnchanged) {
					unchanged++
					require.Equal(t, 30*time.Second, got.took)
				} else {
					require.NoError(t, got.err)
					require.Equal(t, "globex", got.b.Meta().Scope)
				}
			}
			require.Equal(t, 667, unchanged)
			require.Equal(t, unwraps, f.KEK.Unwraps(), "neither waiting nor a delivery under a cached key calls the key service")
		})
	})

	t.Run("keeps polling while short waits come and go", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			go func() { // these waits are shorter than the interval between two polls
				for errors.Is((<-f.wait(t.Context(), token, revision, 100*time.Millisecond)).err, vault.ErrUnchanged) {
				}
			}()
			synctest.Wait()
			answered := f.wait(t.Context(), token, revision, 50*time.Second)
			time.Sleep(10*time.Second + time.Millisecond)
			f.process(t).MustPut(t, "acme", "A", "two")
			got := <-answered
			require.NoError(t, got.err)
			require.LessOrEqual(t, got.took, 10*time.Second+time.Millisecond+poll)
			require.LessOrEqual(t, f.Storage.Polls.Load(), int64(50), "short waits do not add polls")
		})
	})

	t.Run("does not poll more often for short waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			for range 100 {
				got := <-f.wait(t.Context(), token, revision, 100*time.Millisecond)
				require.ErrorIs(t, got.err, vault.ErrUnchanged)
			}
			require.LessOrEqual(t, f.Storage.Polls.Load(), int64(41), "four polls a second, for ten seconds")
		})
	})

	t.Run("does not poll without waiters", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			<-f.wait(t.Context(), token, revision, time.Second)
			calls := f.Storage.Calls()
			time.Sleep(time.Hour)
			require.Equal(t, calls, f.Storage.Calls())

			f.process(t).MustPut(t, "acme", "B", "two")
			got := <-f.wait(t.Context(), token, f.Bundle(t, token).Revision(), time.Second)
			require.ErrorIs(t, got.err, vault.ErrUnchanged, "an earlier write does not end the wait")
			require.Equal(t, time.Second, got.took)
		})
	})

	t.Run("reports a rollback to waiters", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, _ := begin(t)
			before, err := f.Storage.Read(t.Context(), store.Query{Scope: "acme"})
			require.NoError(t, err)
			f.MustPut(t, "acme", "A", "two")
			f.MustPut(t, "acme", "A", "one")
			revision := f.Bundle(t, token).Revision()
			answered := f.wait(t.Context(), token, revision, 50*time.Second)
			time.Sleep(time.Second)
			after, err := f.Storage.Read(t.Context(), store.Query{Scope: "acme"})
			require.NoError(t, err)
			require.NoError(t, f.Storage.Apply(t.Context(), &store.Change{Seals: []store.SealChange{
				{Scope: "acme", Old: after.Path[0].Seal, New: before.Path[0].Seal},
			}}))
			got := <-answered
			require.ErrorIs(t, got.err, vault.ErrRollback)
			require.NotErrorIs(t, got.err, keyring.ErrTampered, "an old seal is genuine")
			require.Positive(t, f.Log.Errors())
		})
	})

	t.Run("survives a panic in the storage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := &brittle{Store: memstore.New()}
			f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
			f.MustPut(t, "acme", "A", "one")
			token := f.MustIssue(t, "acme")
			b, err := f.Bootstrap(t.Context(), token, nil)
			require.NoError(t, err)
			answered := f.wait(t.Context(), token, b.Revision(), 50*time.Second)
			storage.broken.Store(true)
			time.Sleep(10 * time.Second)
			storage.broken.Store(false)
			require.Contains(t, f.Log.Text(), "storage panicked while listing changes")
			require.NotContains(t, f.Log.Text(), "may hold a secret")
			other := newFixtureOver(t, storage, f.KEK) // whose writes only the poll finds
			other.MustPut(t, "acme", "A", "two")
			got := <-answered
			require.NoError(t, got.err)
			require.Equal(t, "two", reveal(got.b)["A"])
			require.Less(t, got.took, 11*time.Second)
		})
	})
}

func TestWatch_Revocation(t *testing.T) {
	for _, local := range []bool{true, false} {
		t.Run(fmt.Sprintf("local=%t", local), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, token, revision := begin(t)
				answered := f.wait(t.Context(), token, revision, 50*time.Second)
				time.Sleep(10 * time.Second)
				revoker, within := f, time.Duration(0)
				if !local {
					revoker, within = f.process(t), poll
				}
				require.NoError(t, revoker.RevokeToken(t.Context(), tokenID(t, token)))
				got := <-answered
				requireReason(t, got.err, vault.TokenRevoked, "revoked while it waited")
				require.Nil(t, got.b)
				require.LessOrEqual(t, got.took-10*time.Second, within)
			})
		})
	}
}

func TestWatch_Duration(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{
		time.Millisecond: time.Millisecond, 10 * time.Second: 10 * time.Second, 50 * time.Second: 50 * time.Second, time.Hour: 50 * time.Second,
		0: 0, -time.Second: 0,
	} {
		t.Run(asked.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, token, revision := begin(t)
				got := <-f.wait(t.Context(), token, revision, asked)
				require.True(t, got.err == vault.ErrUnchanged)
				require.Equal(t, want, got.took, "a wait takes at most 50 seconds")
			})
		})
	}
}

// brittle is a storage whose Changes panics on demand.
type brittle struct {
	store.Store
	broken atomic.Bool
}

func (b *brittle) Changes(ctx context.Context, since int64) (int64, []string, error) {
	if b.broken.Load() {
		panic("a driver's fault, which may hold a secret")
	}
	return b.Store.Changes(ctx, since)
}
