package vault_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

var errDown = errors.New("connection refused")

// held is how long a poll that waits is held while its storage is down.
const held = 8 * time.Second

func TestOutage(t *testing.T) {
	t.Run("continues a wait while the storage is down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			answered := f.wait(t.Context(), token, revision, 50*time.Second)
			time.Sleep(time.Second)
			f.Storage.Down.Set(errDown)
			time.Sleep(time.Second)
			f.process(t).MustPut(t, "acme", "A", "two")
			time.Sleep(30 * time.Second)
			f.Storage.Down.Set(nil)
			got := <-answered
			require.NoError(t, got.err)
			require.Equal(t, map[string]string{"A": "two"}, reveal(got.b))
			require.LessOrEqual(t, got.took, 32*time.Second+poll, "the change is seen as soon as the storage works again")
			require.Less(t, f.Storage.Polls.Load(), int64(140), "a failing storage is not polled more often")
		})
	})

	t.Run("delivers a change made during an outage after it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			start := time.Now()
			ending := f.wait(t.Context(), token, revision, 2*time.Second)
			time.Sleep(time.Second)
			f.Storage.Down.Set(errDown)
			time.Sleep(2 * time.Second)
			f.process(t).MustPut(t, "acme", "A", "two")
			begun := f.wait(t.Context(), token, revision, 50*time.Second)
			time.Sleep(2 * time.Second)
			f.Storage.Down.Set(nil)
			for _, answered := range []<-chan answer{ending, begun} {
				got := <-answered
				require.NoError(t, got.err)
				require.Equal(t, map[string]string{"A": "two"}, reveal(got.b))
				require.LessOrEqual(t, time.Since(start), 5*time.Second+poll)
			}
		})
	})

	t.Run("reports a long outage when the hold ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			answered := f.wait(t.Context(), token, revision, 10*time.Second)
			time.Sleep(5 * time.Second)
			f.Storage.Down.Set(errDown)
			got := <-answered
			require.ErrorIs(t, got.err, errDown)
			require.Equal(t, 10*time.Second+held, got.took, "the wait plus the hold")

			got = <-f.wait(t.Context(), token, revision, 50*time.Second)
			require.ErrorIs(t, got.err, errDown)
			require.Equal(t, held, got.took, "another process may be able to serve it")
			require.Less(t, f.Storage.Reads.Load(), int64(20), "a runner that is held reads nothing")
			require.Zero(t, vault.Waiting(f.Vault))
		})
	})

	t.Run("outlasts each of several outages in one wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			f.Storage.Down.Set(errDown)
			answered := f.wait(t.Context(), token, revision, 50*time.Second)
			time.Sleep(4 * time.Second)
			f.Storage.Down.Set(nil)
			time.Sleep(44 * time.Second)
			f.Storage.Down.Set(errDown)
			time.Sleep(6 * time.Second)
			f.Storage.Down.Set(nil)
			got := <-answered
			require.ErrorIs(t, got.err, vault.ErrUnchanged)
			require.LessOrEqual(t, got.took, 54*time.Second+poll)
		})
	})

	t.Run("reports immediately to a runner that does not wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			f.Storage.Down.Set(errDown)
			for _, req := range []*vault.BootstrapRequest{nil, {Wait: 50 * time.Second}, {IfNoneMatch: revision}} {
				start := time.Now()
				_, err := f.Bootstrap(t.Context(), token, req)
				require.ErrorIs(t, err, errDown)
				require.Zero(t, time.Since(start), "a runner without a bundle can try another server, and one that does not wait is not held")
			}
		})
	})

	t.Run("ends the hold for a canceled context and a revoked token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			f.Storage.Down.Set(errDown)
			revoked := f.wait(t.Context(), token, revision, 50*time.Second)
			ctx, cancel := context.WithCancelCause(t.Context())
			gone := f.wait(ctx, token, revision, 50*time.Second)
			time.Sleep(time.Second)
			reason := errors.New("shutting down")
			cancel(reason)
			got := <-gone
			require.Error(t, got.err)
			require.Equal(t, time.Second, got.took, "a canceled request is not held")
			require.NoError(t, f.process(t).RevokeToken(t.Context(), tokenID(t, token)))
			f.Storage.Down.Set(nil)
			got = <-revoked
			requireReason(t, got.err, vault.TokenRevoked, "revoked during the outage")
			require.LessOrEqual(t, got.took, time.Second+poll)
		})
	})

	t.Run("does not hold a runner when the key service is down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			f.KEK.Break(keyring.ErrUnavailable)
			got := <-f.process(t).wait(t.Context(), token, revision, 50*time.Second)
			require.ErrorIs(t, got.err, keyring.ErrUnavailable)
			require.Zero(t, got.took)
		})
	})
}

func TestOutage_ShortOutage(t *testing.T) {
	for about, wait := range map[string]time.Duration{
		"its wait ends during the outage":                      10 * time.Second,
		"its wait ends when the storage works again":           14 * time.Second,
		"its wait ends after the outage":                       50 * time.Second,
		"the poll starts during the outage":                    -time.Second, // a second into the outage
		"the poll starts during the outage, for a millisecond": -time.Millisecond,
		"the poll starts during the outage, for a nanosecond":  -1,
	} {
		t.Run(about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, token, revision := begin(t)
				start := time.Now()
				var answered <-chan answer
				if wait > 0 {
					answered = f.wait(t.Context(), token, revision, wait)
				}
				time.Sleep(10*time.Second - 1)
				f.Storage.Down.Set(errDown)
				time.Sleep(time.Second)
				if wait < 0 {
					answered = f.wait(t.Context(), token, revision, -wait)
				}
				time.Sleep(3 * time.Second)
				f.Storage.Down.Set(nil)
				got := <-answered
				require.ErrorIs(t, got.err, vault.ErrUnchanged)
				require.LessOrEqual(t, time.Since(start), max(wait, 14*time.Second+poll))
				require.Zero(t, f.Log.Errors())
				require.Zero(t, vault.Waiting(f.Vault))
			})
		})
	}
}

func TestOutage_DuringDelivery(t *testing.T) {
	for _, about := range []string{"reading the bundle", "recording the delivery"} {
		t.Run(about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, token, revision := begin(t)
				answered := f.wait(t.Context(), token, revision, 50*time.Second)
				time.Sleep(time.Second)
				if about == "reading the bundle" {
					// Reading the seals succeeds, and every later read fails.
					f.Storage.OnRead(func(q store.Query, _ *store.Snapshot) {
						if q.SealsOnly {
							f.Storage.Down.Set(errDown)
						}
					})
				} else {
					f.Storage.FailApply.Set(errDown)
				}
				f.process(t).MustPut(t, "acme", "A", "two")
				time.Sleep(2 * time.Second)
				f.Storage.OnRead(func(store.Query, *store.Snapshot) {})
				f.Storage.FailApply.Set(nil)
				f.Storage.Down.Set(nil)
				got := <-answered
				require.NoError(t, got.err)
				require.Equal(t, map[string]string{"A": "two"}, reveal(got.b))
				require.LessOrEqual(t, got.took, 3*time.Second+poll)
			})
		})
	}
}

// sluggish is a storage with slow reads, in which Changes hangs on demand.
type sluggish struct {
	store.Store
	read      time.Duration
	hang      atomic.Bool
	asked     atomic.Int64 // calls of Changes in progress
	broken    atomic.Bool  // reads for tokens fail after their delay
	stuck     atomic.Int64 // so many of the next reads for tokens hang
	now, most atomic.Int64 // reads for tokens in progress
}

func (s *sluggish) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	if q.Token != "" {
		n := s.now.Add(1)
		defer s.now.Add(-1)
		for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
		}
		if s.stuck.Add(-1) >= 0 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		time.Sleep(s.read)
		if s.broken.Load() {
			return nil, errDown
		}
	}
	return s.Store.Read(ctx, q)
}

func (s *sluggish) Changes(ctx context.Context, since int64) (int64, []string, error) {
	s.asked.Add(1)
	defer s.asked.Add(-1)
	if s.hang.Load() {
		<-ctx.Done()
		time.Sleep(time.Millisecond)
		return 0, nil, ctx.Err()
	}
	return s.Store.Changes(ctx, since)
}

func TestOutage_Queue(t *testing.T) {
	t.Run("limits concurrent reads to 16 and lets writers pass", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := &sluggish{Store: memstore.New(), read: 10 * time.Millisecond}
			f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
			f.MustPut(t, "acme", "A", "one")
			f.MustPut(t, "globex", "A", "one")
			token := f.MustIssue(t, "acme")
			revision := f.Bundle(t, token).Revision()
			var group sync.WaitGroup
			for range 1000 {
				group.Go(func() {
					got := <-f.wait(t.Context(), token, revision, 50*time.Second)
					if got.err != nil {
						t.Errorf("a runner among many: %v", got.err)
					}
				})
			}
			time.Sleep(5 * time.Second)
			f.MustPut(t, "acme", "A", "two")
			time.Sleep(100 * time.Millisecond)
			start := time.Now()
			f.MustPut(t, "globex", "A", "two")
			require.Zero(t, time.Since(start), "writers do not queue with the runners")
			_, err := f.Bootstrap(t.Context(), token, nil)
			require.NoError(t, err)
			group.Wait()
			require.EqualValues(t, 16, storage.most.Load())
		})
	})

	t.Run("does not delay other tenants during a slow key-service call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			var cold []bundle.Value
			for i := range 20 { // more than may read concurrently
				tenant := fmt.Sprintf("tenant-%d", i)
				f.MustPut(t, tenant, "A", "one")
				cold = append(cold, f.MustIssue(t, tenant))
			}
			f.MustPut(t, "acme", "A", "one")
			token := f.MustIssue(t, "acme")
			fresh := f.process(t)
			revision := fresh.Bundle(t, token).Revision()
			fresh.KEK.Delay(3 * time.Second)
			var group sync.WaitGroup
			for _, token := range cold {
				group.Go(func() { _, _ = fresh.Bootstrap(t.Context(), token, nil) })
			}
			synctest.Wait()
			start := time.Now()
			_, err := fresh.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: revision})
			require.ErrorIs(t, err, vault.ErrUnchanged)
			require.Zero(t, time.Since(start), "its key is cached, and key-service calls take no turn")
			group.Wait()
		})
	})

	t.Run("gives the turns of reads that hang to other runners", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := &sluggish{Store: memstore.New()}
			f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
			f.MustPut(t, "acme", "A", "one")
			token := f.MustIssue(t, "acme")
			f.Bundle(t, token)
			const all = 16 // that may read concurrently
			storage.stuck.Store(all)
			start := time.Now()
			var errs [all]error
			var group sync.WaitGroup
			for i := range errs {
				group.Go(func() { _, errs[i] = f.Bootstrap(t.Context(), token, nil) })
			}
			synctest.Wait()
			f.Bundle(t, token)
			require.Equal(t, 10*time.Second, time.Since(start), "a read has ten seconds")
			group.Wait()
			for _, err := range errs {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
		})
	})

	t.Run("releases a runner whose context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := &sluggish{Store: memstore.New(), read: time.Second}
			f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
			f.MustPut(t, "acme", "A", "one")
			token := f.MustIssue(t, "acme")
			var group sync.WaitGroup
			for range 40 {
				group.Go(func() { f.Bundle(t, token) })
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := f.Bootstrap(ctx, token, nil)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 100*time.Millisecond, time.Since(start))
			group.Wait()
		})
	})
}

func TestOutage_HoldIsBounded(t *testing.T) {
	for _, takes := range []time.Duration{0, time.Second, 9 * time.Second} { // before a read fails
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := &sluggish{Store: memstore.New(), read: takes}
				f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
				f.MustPut(t, "acme", "A", "one")
				token := f.MustIssue(t, "acme")
				revision := f.Bundle(t, token).Revision()
				storage.broken.Store(true) // but Changes works
				reads := f.Storage.Reads.Load()
				got := <-f.wait(t.Context(), token, revision, 20*time.Second)
				require.ErrorIs(t, got.err, errDown)
				require.Less(t, got.took, 20*time.Second+held+takes+time.Millisecond)
				require.Less(t, f.Storage.Reads.Load()-reads, int64(40), "reads are retried no more often than the storage is polled")
			})
		})
	}
}

func TestOutage_Polling(t *testing.T) {
	t.Run("recovers from a poll that hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := &sluggish{Store: memstore.New()}
			f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
			f.MustPut(t, "acme", "A", "one")
			token := f.MustIssue(t, "acme")
			revision := f.Bundle(t, token).Revision()
			var waiting []<-chan answer
			for range 3 {
				waiting = append(waiting, f.wait(t.Context(), token, revision, 50*time.Second))
			}
			time.Sleep(time.Second)
			storage.hang.Store(true)
			time.Sleep(time.Second)
			storage.hang.Store(false)
			f.process(t).MustPut(t, "acme", "A", "two")
			for _, answered := range waiting {
				got := <-answered
				require.NoError(t, got.err)
				require.Equal(t, "two", reveal(got.b)["A"])
				require.LessOrEqual(t, got.took, 7*time.Second)
			}
		})
	})

	t.Run("ends with the last waiting runner", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := &sluggish{Store: memstore.New()}
			f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
			f.MustPut(t, "acme", "A", "one")
			token := f.MustIssue(t, "acme")
			revision := f.Bundle(t, token).Revision()
			storage.hang.Store(true)
			first := f.wait(t.Context(), token, revision, time.Second)
			last := f.wait(t.Context(), token, revision, 1500*time.Millisecond)
			require.ErrorIs(t, (<-first).err, vault.ErrUnchanged)
			require.EqualValues(t, 1, storage.asked.Load(), "all runners share one call, which continues for the last one")
			require.ErrorIs(t, (<-last).err, vault.ErrUnchanged)
			require.Zero(t, storage.asked.Load(), "no goroutine is left, even in the middle of a call")
		})
	})
}
