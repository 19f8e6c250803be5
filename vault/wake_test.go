package vault_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/store"
)

func TestWake_Latency(t *testing.T) {
	for about, signal := range map[string]chan struct{}{"with a buffer": make(chan struct{}, 1), "without a buffer": nil} {
		t.Run(about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wake := make(chan struct{}, cap(signal))
				f, token, revision := begin(t)
				woken := f.with(t, vault.Options{Wake: wake})
				answered := woken.wait(t.Context(), token, revision, 50*time.Second)
				time.Sleep(10*time.Second + 100*time.Millisecond) // between two polls
				f.MustPut(t, "acme", "A", "two")
				wake <- struct{}{}
				got := <-answered
				require.NoError(t, got.err)
				require.Equal(t, "two", reveal(got.b)["A"])
				require.Equal(t, 10*time.Second+100*time.Millisecond, got.took, "no time passes")
			})
		})
	}
}

func TestWake(t *testing.T) {
	t.Run("costs one poll and no read if nothing changed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			wake := make(chan struct{}, 1)
			f, token, revision := begin(t)
			woken := f.with(t, vault.Options{Wake: wake})
			answered := woken.wait(t.Context(), token, revision, 50*time.Second)
			time.Sleep(10*time.Second + 100*time.Millisecond)
			reads, changes := woken.Storage.Reads.Load(), woken.Storage.Polls.Load()
			for range 10 {
				wake <- struct{}{}
				synctest.Wait()
			}
			require.Equal(t, changes+10, woken.Storage.Polls.Load())
			require.Equal(t, reads, woken.Storage.Reads.Load(), "no runner reads without a change")
			time.Sleep(time.Second)
			require.InDelta(t, changes+14, woken.Storage.Polls.Load(), 1, "and the vault polls as before")
			require.ErrorIs(t, (<-answered).err, vault.ErrUnchanged)
		})
	})

	t.Run("delays a change by at most one poll when a signal is missed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			woken := f.with(t, vault.Options{Wake: make(chan struct{}, 1)})
			answered := woken.wait(t.Context(), token, revision, 50*time.Second)
			time.Sleep(10*time.Second + 100*time.Millisecond)
			f.MustPut(t, "acme", "A", "two")
			got := <-answered
			require.NoError(t, got.err)
			require.LessOrEqual(t, got.took, 10*time.Second+100*time.Millisecond+poll)
		})
	})

	t.Run("ignores a closed channel", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			wake := make(chan struct{})
			f, token, revision := begin(t)
			woken := f.with(t, vault.Options{Wake: wake})
			answered := woken.wait(t.Context(), token, revision, 50*time.Second)
			time.Sleep(time.Second)
			close(wake)
			changes := woken.Storage.Polls.Load()
			time.Sleep(10 * time.Second)
			require.InDelta(t, 40, woken.Storage.Polls.Load()-changes, 1, "four polls a second, as without a channel")
			f.MustPut(t, "acme", "A", "two")
			got := <-answered
			require.NoError(t, got.err)
			require.LessOrEqual(t, got.took, 11*time.Second+poll)
		})
	})

	t.Run("receives no signal while no runner waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			wake := make(chan struct{}, 1)
			f, token, revision := begin(t)
			woken := f.with(t, vault.Options{Wake: wake})
			wake <- struct{}{}
			time.Sleep(time.Hour)
			require.Len(t, wake, 1)
			require.Zero(t, woken.Storage.Polls.Load(), "an idle vault does not poll its storage")
			answered := woken.wait(t.Context(), token, revision, time.Second)
			synctest.Wait()
			require.Empty(t, wake, "the first waiting runner receives the signal")
			require.ErrorIs(t, (<-answered).err, vault.ErrUnchanged)
		})
	})

	t.Run("works after the first waiting runner has left", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			wake := make(chan struct{})
			f, token, revision := begin(t)
			woken := f.with(t, vault.Options{Wake: wake})
			short := woken.wait(t.Context(), token, revision, time.Second) // it polls
			synctest.Wait()
			long := woken.wait(t.Context(), token, revision, 50*time.Second)
			require.ErrorIs(t, (<-short).err, vault.ErrUnchanged)
			time.Sleep(time.Second + 100*time.Millisecond)
			f.MustPut(t, "acme", "A", "two")
			wake <- struct{}{}
			got := <-long
			require.NoError(t, got.err)
			require.Equal(t, 2*time.Second+100*time.Millisecond, got.took)
		})
	})

	t.Run("is not triggered by issuing a token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			answered := f.wait(t.Context(), token, revision, 50*time.Second)
			time.Sleep(time.Second)
			var looks atomic.Int64
			f.Storage.OnRead(func(q store.Query, _ *store.Snapshot) {
				if q.Token != "" {
					looks.Add(1)
				}
			})
			f.process(t).MustIssue(t, "acme/web/pool-a")
			time.Sleep(time.Second)
			require.Zero(t, looks.Load(), "issued elsewhere")
			f.MustIssue(t, "acme/web/pool-a")
			f.MustIssue(t, "acme/web/pool-b") // whose seal is new
			time.Sleep(time.Second)
			require.Zero(t, looks.Load(), "issued here")
			require.ErrorIs(t, (<-answered).err, vault.ErrUnchanged, "it affects no other runner")
		})
	})
}
