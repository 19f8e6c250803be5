package batch_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/batch"
)

// store takes a second for each commit.
type store struct {
	mu      sync.Mutex
	batches [][]int
	accepts int // the number of committed items of each batch if err is set
	err     error
}

func (s *store) commit(_ context.Context, items []int) (int, error) {
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, items)
	if s.err != nil {
		return s.accepts, s.err
	}
	return len(items), nil
}

// do calls Do for each item, a millisecond apart, and returns the errors.
func do(ctx context.Context, group *batch.Group[int], items ...int) (errs []error) {
	errs = make([]error, len(items))
	var callers sync.WaitGroup
	for i, item := range items {
		callers.Go(func() { errs[i] = group.Do(ctx, item) })
		time.Sleep(time.Millisecond)
	}
	callers.Wait()
	return errs
}

func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		group := &batch.Group[int]{Commit: s.commit}
		for range 2 {
			began := time.Now()
			require.Equal(t, make([]error, 5), do(t.Context(), group, 1, 2, 3, 4, 5))
			require.Equal(t, 2*time.Second, time.Since(began))
			require.Equal(t, [][]int{{1}, {2, 3, 4, 5}}, s.batches, "items that arrive during a commit are committed together, in order")
			s.batches = nil
		}
	})
}

func TestGroup_Most(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		group := &batch.Group[int]{Commit: s.commit, Most: 2}
		require.Equal(t, make([]error, 6), do(t.Context(), group, 1, 2, 3, 4, 5, 6))
		require.Equal(t, [][]int{{1}, {2, 3}, {4, 5}, {6}}, s.batches)
	})
}

func TestGroup_MostWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		group := &batch.Group[int]{Commit: s.commit, MostWaiting: 2}
		require.Equal(t, []error{nil, nil, nil, batch.ErrFull}, do(t.Context(), group, 1, 2, 3, 4))
		require.Equal(t, [][]int{{1}, {2, 3}}, s.batches)
		require.NoError(t, group.Do(t.Context(), 5), "the group accepts items again")
	})
}

func TestGroup_Errors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		s := &store{err: full, accepts: 2}
		group := &batch.Group[int]{Commit: s.commit}
		require.Equal(t, []error{nil, nil, nil, full, full}, do(t.Context(), group, 1, 2, 3, 4, 5), "items before the failure are committed")
		require.Equal(t, [][]int{{1}, {2, 3, 4, 5}}, s.batches)
	})
}

func TestGroup_CanceledCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		group := &batch.Group[int]{Commit: s.commit}
		gone := errors.New("gone")
		var callers sync.WaitGroup
		results := make([]error, 4)
		took := make([]time.Duration, 4)
		for i := range 4 {
			callers.Go(func() {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if i == 0 || i == 2 { // the item of one is being committed, that of the other waits
					time.AfterFunc(500*time.Millisecond, func() { cancel(gone) })
				}
				began := time.Now()
				results[i] = group.Do(ctx, i)
				took[i] = time.Since(began)
			})
			time.Sleep(time.Millisecond)
		}
		callers.Wait()
		require.Equal(t, []error{gone, nil, gone, nil}, results)
		require.Equal(t, 500*time.Millisecond, took[0], "a canceled caller returns immediately")
		require.Equal(t, 500*time.Millisecond, took[2])
		require.Equal(t, [][]int{{0}, {1, 3}}, s.batches, "the item of a canceled caller is not committed unless its commit has started")

		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		require.Equal(t, gone, group.Do(ctx, 9))
		require.Len(t, s.batches, 2)
	})
}

func TestGroup_AllWaitingLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		group := &batch.Group[int]{Commit: s.commit}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.Len(t, do(ctx, group, 1, 2, 3), 3)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, [][]int{{1}}, s.batches)
		require.NoError(t, group.Do(t.Context(), 4))
		require.Equal(t, [][]int{{1}, {4}}, s.batches)
	})
}

type key struct{}

func TestGroup_Context(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var values []any
		group := &batch.Group[int]{Commit: func(ctx context.Context, items []int) (int, error) {
			time.Sleep(time.Second)
			values = append(values, ctx.Value(key{}))
			_, limited := ctx.Deadline()
			require.False(t, limited)
			require.NoError(t, ctx.Err(), "a canceled caller does not cancel the commit")
			return len(items), nil
		}}
		var callers sync.WaitGroup
		for i := range 3 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, i), 500*time.Millisecond+time.Duration(i)*time.Hour)
				defer cancel()
				_ = group.Do(ctx, i)
			})
			time.Sleep(time.Millisecond)
		}
		callers.Wait()
		require.Equal(t, []any{0, 1}, values, "the context has the values of the first caller")
	})
}

func TestGroup_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		group := &batch.Group[int]{Commit: s.commit}
		var callers sync.WaitGroup
		callers.Go(func() { do(t.Context(), group, 1, 2, 3) })
		time.Sleep(500 * time.Millisecond)
		began := time.Now()
		group.Close()
		require.Equal(t, 1500*time.Millisecond, time.Since(began))
		require.Equal(t, [][]int{{1}, {2, 3}}, s.batches, "accepted items are committed")
		require.Equal(t, batch.ErrClosed, group.Do(t.Context(), 4))
		group.Close()
		callers.Wait()
		(&batch.Group[int]{Commit: s.commit}).Close()
	})
}

func TestGroup_CommitPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		group := &batch.Group[int]{Commit: func(ctx context.Context, items []int) (int, error) {
			if len(items) == 2 {
				panic("a driver's fault")
			}
			return s.commit(ctx, items)
		}}
		var panics sync.Map
		var callers sync.WaitGroup
		for i := range 3 {
			callers.Go(func() {
				defer func() {
					if v := recover(); v != nil {
						panics.Store(i, fmt.Sprint(v))
					}
				}()
				if err := group.Do(t.Context(), i); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Millisecond)
		}
		callers.Wait()
		_, ok := panics.Load(0)
		require.False(t, ok)
		for i := 1; i < 3; i++ {
			text, _ := panics.Load(i)
			require.Contains(t, text, "a driver's fault")
			require.Contains(t, text, "batch_test.go", "the panic has the stack of Commit")
		}
		require.NoError(t, group.Do(t.Context(), 9), "the group continues")
	})
}

func TestGroup_NoReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := &batch.Group[int]{Commit: func(context.Context, []int) (int, error) {
			time.Sleep(time.Second)
			runtime.Goexit()
			return 0, nil
		}}
		for _, err := range do(t.Context(), group, 1, 2, 3) {
			require.ErrorContains(t, err, "instead of returning")
		}
	})
}

func TestGroup_ManyCallers(t *testing.T) {
	var mu sync.Mutex
	seen := map[int]int{}
	busy := false
	group := &batch.Group[int]{Most: 7, Commit: func(_ context.Context, items []int) (int, error) {
		mu.Lock()
		if busy || len(items) == 0 || len(items) > 7 {
			t.Errorf("a batch of %d, concurrent with another: %t", len(items), busy)
		}
		busy = true
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		defer mu.Unlock()
		busy = false
		for _, item := range items {
			seen[item]++
		}
		return len(items), nil
	}}
	var callers sync.WaitGroup
	for i := range 50 {
		callers.Go(func() {
			for n := range 100 {
				if err := group.Do(t.Context(), i*100+n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	require.Len(t, seen, 5000)
	for item, n := range seen {
		require.Equal(t, 1, n, "item %d", item)
	}
}
