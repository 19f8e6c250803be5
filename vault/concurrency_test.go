package vault_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

func TestVault_PutConcurrent(t *testing.T) {
	t.Run("stores all of thirty writes to one scope", func(t *testing.T) {
		f := newFixture(t)
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				name := fmt.Sprintf("S%02d", i)
				_, err := f.Put(t.Context(), "acme/web", name, bundle.NewValue(name), nil)
				if err != nil {
					t.Errorf("a write was lost: %v", err)
				}
			})
		}
		wg.Wait()
		values := f.process(t).Values(t, f.MustIssue(t, "acme/web"))
		require.Len(t, values, 30)
		for name, value := range values {
			require.Equal(t, name, value)
		}
	})

	t.Run("stores the writes of two processes sharing a database file", func(t *testing.T) {
		kek := keyringtest.NewFake("kek")
		file := filepath.Join(t.TempDir(), "vault.db")
		processes := []*fixture{openSQLite(t, file, kek), openSQLite(t, file, kek)}
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				name := fmt.Sprintf("S%02d", i)
				if _, err := processes[i%2].Put(t.Context(), "acme/web", name, bundle.NewValue(name), nil); err != nil {
					t.Errorf("a write was lost: %v", err)
				}
			})
		}
		wg.Wait()
		require.Len(t, processes[0].Values(t, processes[1].MustIssue(t, "acme/web")), 16)
		require.Zero(t, processes[0].Log.Errors()+processes[1].Log.Errors(), "a conflict is not logged as tampering")
	})

	t.Run("gives each of thirty writes to one secret its version", func(t *testing.T) {
		f := newFixture(t)
		other := f.process(t)
		versions := make(chan int64, 30)
		var wg sync.WaitGroup
		for i := range 30 {
			process := []*fixture{f, other}[i%2]
			wg.Go(func() {
				info, err := process.Put(t.Context(), "acme", "A", bundle.NewValue(strconv.Itoa(i)), nil)
				if err != nil {
					t.Errorf("a write was lost: %v", err)
				}
				versions <- info.Version
			})
		}
		wg.Wait()
		close(versions)
		seen := map[int64]bool{}
		for version := range versions {
			require.False(t, seen[version], "version %d was given twice", version)
			seen[version] = true
		}
		require.Len(t, seen, 30)
		require.True(t, seen[1] && seen[30])
		info, err := f.Info(t.Context(), "acme", "A")
		require.NoError(t, err)
		require.EqualValues(t, 30, info.Version)
	})

	t.Run("lets one of thirty writes with IfAbsent succeed", func(t *testing.T) {
		f := newFixture(t)
		other := f.process(t)
		won := make(chan string, 30)
		var wg sync.WaitGroup
		for i := range 30 {
			process := []*fixture{f, other}[i%2]
			wg.Go(func() {
				value := strconv.Itoa(i)
				_, err := process.Put(t.Context(), "acme", "A", bundle.NewValue(value), &vault.PutOptions{IfVersion: vault.IfAbsent})
				if err == nil {
					won <- value
				} else {
					requireConflict(t, err)
				}
			})
		}
		wg.Wait()
		close(won)
		var winners []string
		for value := range won {
			winners = append(winners, value)
		}
		require.Len(t, winners, 1)
		require.Equal(t, winners[0], f.Values(t, f.MustIssue(t, "acme"))["A"])
	})

	t.Run("creates one data key for a new tenant", func(t *testing.T) {
		f := newFixture(t)
		processes := []*fixture{f, f.process(t), f.process(t), f.process(t)}
		var wg sync.WaitGroup
		for i, process := range processes {
			wg.Go(func() {
				if _, err := process.Put(t.Context(), "acme", fmt.Sprintf("S%d", i), bundle.NewValue("x"), nil); err != nil {
					t.Errorf("the first writes of a tenant conflict: %v", err)
				}
			})
		}
		wg.Wait()
		snap, err := f.Storage.Read(t.Context(), store.Query{Scope: "acme"})
		require.NoError(t, err)
		require.Len(t, snap.Keys, 1)
		require.Len(t, f.Values(t, f.MustIssue(t, "acme")), 4)
	})

	t.Run("gives up after 50 conflicts or when its context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "one")
			applies := f.Storage.Applies.Load()
			f.Storage.FailApply.Set(store.ErrConflict)
			start := time.Now()
			_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue("two"), nil)
			require.ErrorIs(t, err, vault.ErrConflict)
			require.ErrorContains(t, err, "50 attempts", "the error has the number of attempts")
			require.EqualValues(t, 50, f.Storage.Applies.Load()-applies)
			require.Less(t, time.Since(start), 3*time.Second)

			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start = time.Now()
			_, err = f.Put(ctx, "acme", "A", bundle.NewValue("two"), nil)
			require.ErrorIs(t, err, context.DeadlineExceeded, "it stops earlier if its context ends")
			require.Equal(t, 100*time.Millisecond, time.Since(start))
		})
	})

	t.Run("is not starved by continuous deliveries", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := &far{Store: memstore.New()}
			f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
			token := f.MustIssue(t, "acme")
			var stop atomic.Bool
			var runners sync.WaitGroup
			for range 30 {
				runners.Go(func() {
					for !stop.Load() {
						if _, err := f.Bootstrap(t.Context(), token, nil); err != nil {
							t.Error(err)
							return
						}
					}
				})
				time.Sleep(time.Millisecond)
			}
			_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue("one"), nil)
			stop.Store(true)
			runners.Wait()
			require.NoError(t, err)
			require.EqualValues(t, 2, storage.inserts.Load(), "a delivery overtakes the first attempt, and waits for the second")
		})
	})
}

// requireConflict marks the test as failed unless err is a conflict. It may be called in
// any goroutine.
func requireConflict(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, vault.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
}

// The writer changes LEFT before RIGHT, so LEFT always equals RIGHT or is one ahead. A
// bundle that mixes two states would break that rule.
func TestVault_BootstrapSnapshot(t *testing.T) {
	f := newFixture(t)
	writer, runner := f, f.process(t)
	token := f.MustIssue(t, "acme/web/pool-a")
	rotate := func(n int) {
		f.MustPut(t, "acme", "LEFT", strconv.Itoa(n))
		f.MustPut(t, "acme/web", "RIGHT", strconv.Itoa(n))
	}
	rotate(1)
	var (
		mu      sync.Mutex
		content = map[string]string{} // by revision
		wg      sync.WaitGroup
		stop    = make(chan struct{})
		written = make(chan struct{})
	)
	go func() {
		defer close(written)
		for n := 2; ; n++ {
			select {
			case <-stop:
				return
			default:
				for _, step := range []struct{ scope, name string }{{"acme", "LEFT"}, {"acme/web", "RIGHT"}} {
					if _, err := writer.Put(t.Context(), step.scope, step.name, bundle.NewValue(strconv.Itoa(n)), nil); err != nil {
						t.Errorf("rotating during bootstraps: %v", err)
						return
					}
				}
			}
		}
	}()
	for i := range 1000 {
		process := []*fixture{writer, runner}[i%2]
		wg.Go(func() {
			b, err := process.Bootstrap(t.Context(), token, nil)
			if err != nil {
				t.Errorf("a bootstrap during a rotation: %v", err)
				return
			}
			values := reveal(b)
			left, _ := strconv.Atoi(values["LEFT"])
			right, _ := strconv.Atoi(values["RIGHT"])
			if left != right && left != right+1 || left == 0 {
				t.Errorf("a bundle has LEFT %d and RIGHT %d, which were never stored together", left, right)
			}
			for name, value := range values {
				if s, _ := b.Get(name); strconv.FormatInt(s.Version, 10) != value {
					t.Errorf("%s has value %s and version %d", name, value, s.Version)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			now := values["LEFT"] + "/" + values["RIGHT"]
			if before, ok := content[b.Revision()]; ok && before != now {
				t.Errorf("one revision has contents %s and %s", before, now)
			}
			content[b.Revision()] = now
		})
	}
	wg.Wait()
	close(stop)
	<-written
	require.Zero(t, writer.Log.Errors()+runner.Log.Errors(), "writes are not logged as tampering: %s", writer.Log.Text()+runner.Log.Text())
}

// far is a remote storage. The read for a write takes longer than the read for an audit
// entry.
type far struct {
	store.Store
	inserts atomic.Int64
}

func (f *far) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	snap, err := f.Store.Read(ctx, q)
	time.Sleep(time.Millisecond)
	if !q.SealsOnly {
		time.Sleep(9 * time.Millisecond)
	}
	return snap, err
}

func (f *far) Apply(ctx context.Context, c *store.Change) error {
	f.inserts.Add(int64(len(c.Insert)))
	time.Sleep(time.Millisecond)
	return f.Store.Apply(ctx, c)
}

func TestVault_IssueTokenConcurrent(t *testing.T) {
	f := newFixture(t)
	other := f.process(t)
	f.MustPut(t, "acme", "A", "x")
	var wg sync.WaitGroup
	for i := range 20 {
		process := []*fixture{f, other}[i%2]
		wg.Go(func() {
			token, info, err := process.IssueToken(t.Context(), "acme", nil)
			if err != nil {
				t.Errorf("issuing: %v", err)
				return
			}
			if _, err := other.Bootstrap(t.Context(), token, nil); err != nil {
				t.Errorf("a token that was just issued: %v", err)
			}
			if err := process.RevokeToken(t.Context(), info.ID); err != nil {
				t.Errorf("revoking: %v", err)
			}
			if _, err := f.Bootstrap(t.Context(), token, nil); err == nil {
				t.Error("a token that was just revoked got a bundle")
			}
		})
	}
	wg.Wait()
	tokens, err := f.Tokens(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, tokens, 20)
}
