package batch_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/batch"
)

func TestKeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		batches := map[string][]int{} // the sizes, by key
		keyed := &batch.Keyed[string, int]{Most: 3, Commit: func(_ context.Context, key string, items []int) (int, error) {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			batches[key] = append(batches[key], len(items))
			return len(items), nil
		}}
		began := time.Now()
		var callers sync.WaitGroup
		for i := range 5 {
			for _, key := range []string{"a", "b"} {
				callers.Go(func() {
					if err := keyed.Do(t.Context(), key, i); err != nil {
						t.Error(err)
					}
				})
			}
			time.Sleep(time.Millisecond)
		}
		require.Equal(t, 2, keyed.Len())
		callers.Wait()
		require.Equal(t, map[string][]int{"a": {1, 3, 1}, "b": {1, 3, 1}}, batches, "items of one key are committed together")
		require.Equal(t, 3*time.Second, time.Since(began), "keys do not wait for each other")
		synctest.Wait()
		require.Zero(t, keyed.Len(), "an idle key takes no memory")
	})
}

func TestKeyed_CallersThatLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running := 0
		keyed := &batch.Keyed[int, int]{Commit: func(_ context.Context, _ int, items []int) (int, error) {
			running++
			if running > 1 {
				t.Error("concurrent commits of one key")
			}
			time.Sleep(time.Second)
			running--
			return len(items), nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, keyed.Do(ctx, 7, 1), context.DeadlineExceeded)
		require.Equal(t, 1, keyed.Len(), "the commit is still running")
		require.NoError(t, keyed.Do(t.Context(), 7, 2))
		require.ErrorIs(t, keyed.Do(ctx, 8, 1), context.DeadlineExceeded, "the context is already done")
		synctest.Wait()
		require.Zero(t, keyed.Len())

		ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, keyed.Do(ctx, 7, 1), context.DeadlineExceeded)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Zero(t, keyed.Len(), "the key is removed although its only caller left before the commit ended")
	})
}

func TestKeyed_Panic(t *testing.T) {
	keyed := &batch.Keyed[string, int]{Commit: func(context.Context, string, []int) (int, error) { panic("broken") }}
	for i := range 3 {
		func() {
			defer func() { require.Contains(t, fmt.Sprint(recover()), "broken", "call %d", i) }()
			_ = keyed.Do(t.Context(), "a", i)
		}()
	}
	require.Eventually(t, func() bool { return keyed.Len() == 0 }, 5*time.Second, time.Millisecond)
}
