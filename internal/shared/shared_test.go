package shared_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/shared"
)

// work has a function that takes a second unless it is canceled, and returns how
// often it was started.
type work struct{ started, canceled, ended atomic.Int64 }

func (w *work) do(ctx context.Context) int64 {
	n := w.started.Add(1)
	defer w.ended.Add(1)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		w.canceled.Add(1)
	}
	return n
}

// result is the result of a caller, and the time it took.
type result struct {
	value int64
	err   error
	after time.Duration
}

// call calls Do for one caller per limit, 100 milliseconds apart. Zero means no
// limit.
func call(t *testing.T, f *shared.Flight[int64], w *work, limits ...time.Duration) []result {
	results := make([]result, len(limits))
	var callers sync.WaitGroup
	for i, limit := range limits {
		callers.Go(func() {
			ctx := t.Context()
			if limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, limit)
				defer cancel()
			}
			began := time.Now()
			v, err := f.Do(ctx, w.do)
			results[i] = result{v, err, time.Since(began)}
		})
		time.Sleep(100 * time.Millisecond)
	}
	callers.Wait()
	return results
}

const ms = time.Millisecond

func TestFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{}
		f := &shared.Flight[int64]{}
		require.Equal(t, []result{{1, nil, 1000 * ms}, {1, nil, 900 * ms}, {1, nil, 800 * ms}}, call(t, f, w, 0, 0, 0), "callers share a run")
		require.Equal(t, []result{{2, nil, 1000 * ms}}, call(t, f, w, 0), "a run serves only callers that come before its end")
	})
}

func TestFlight_CallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{}
		f := &shared.Flight[int64]{}
		require.Equal(t, []result{{0, context.DeadlineExceeded, 300 * ms}, {1, nil, 900 * ms}, {0, context.DeadlineExceeded, 300 * ms}},
			call(t, f, w, 300*ms, 0, 300*ms), "a caller leaves alone, even the first one")
		require.Zero(t, w.canceled.Load())
	})
}

func TestFlight_LastCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{}
		f := &shared.Flight[int64]{}
		call(t, f, w, 300*ms, 150*ms)
		synctest.Wait()
		require.EqualValues(t, 1, w.canceled.Load(), "the run is canceled without callers")
		require.Equal(t, []result{{2, nil, 1000 * ms}}, call(t, f, w, 0))

		stays := &shared.Flight[int64]{Stay: true}
		w = &work{}
		call(t, stays, w, 300*ms, 150*ms)
		require.Equal(t, []result{{1, nil, 700 * ms}}, call(t, stays, w, 0), "a run that stays serves later callers")
		require.Zero(t, w.canceled.Load())
	})
}

func TestFlight_BesideCanceledRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &shared.Flight[string]{Hold: func(string) time.Duration { return time.Hour }}
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		defer cancel()
		slow := func(context.Context) string { time.Sleep(time.Second); return "canceled" } // ignores its context
		_, err := f.Do(ctx, slow)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		got, err := f.Do(t.Context(), func(context.Context) string { time.Sleep(2 * time.Second); return "new" })
		require.NoError(t, err)
		require.Equal(t, "new", got, "no caller gets the result of a canceled run")
		got, err = f.Do(t.Context(), slow)
		require.NoError(t, err)
		require.Equal(t, "new", got, "the result of a canceled run does not hold")
	})
}

func TestFlight_Hold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{}
		f := &shared.Flight[int64]{Hold: func(n int64) time.Duration { return time.Duration(n) * 10 * time.Second }}
		require.Equal(t, []result{{1, nil, 1000 * ms}}, call(t, f, w, 0))
		time.Sleep(10*time.Second - 1)
		require.Equal(t, []result{{1, nil, 0}}, call(t, f, w, 0))
		require.Equal(t, []result{{2, nil, 1000 * ms}}, call(t, f, w, 0))
		time.Sleep(15 * time.Second)
		require.Equal(t, []result{{2, nil, 0}}, call(t, f, w, 0), "each result holds for the time that Hold returns")
	})
}

func TestFlight_EndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := (&shared.Flight[int]{}).Do(ctx, func(context.Context) int { panic("started") })
	require.ErrorIs(t, err, context.Canceled)
}

type key struct{}

func TestFlight_Context(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "a value"), time.Hour)
	defer cancel()
	var kept context.Context
	_, err := (&shared.Flight[int]{}).Do(ctx, func(ctx context.Context) int {
		kept = ctx
		_, limited := ctx.Deadline()
		require.False(t, limited)
		require.Equal(t, "a value", ctx.Value(key{}))
		return 0
	})
	require.NoError(t, err)
	require.Error(t, kept.Err(), "the context ends with the run")
}

func TestFlight_NoReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &shared.Flight[int]{Stay: true, Hold: func(int) time.Duration { return time.Hour }}
		_, err := f.Do(t.Context(), func(context.Context) int { runtime.Goexit(); return 1 })
		require.ErrorIs(t, err, shared.ErrNoReturn)
		got, err := f.Do(t.Context(), func(context.Context) int { return 2 })
		require.NoError(t, err)
		require.Equal(t, 2, got, "a run without a result does not hold")
	})
}

func TestFlight_Join(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int64
		loop := func(ctx context.Context) struct{} {
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			time.Sleep(time.Second)
			return struct{}{}
		}
		var f shared.Flight[struct{}]
		first := f.Join(t.Context(), loop)
		second := f.Join(t.Context(), loop)
		synctest.Wait()
		require.EqualValues(t, 1, running.Load())
		first()
		synctest.Wait()
		require.EqualValues(t, 1, running.Load())
		second()
		require.Zero(t, running.Load(), "a run continues while it has callers, and the last one waits for its end")
		third := f.Join(t.Context(), loop)
		synctest.Wait()
		require.EqualValues(t, 1, running.Load())
		third()
	})
}

func TestFlight_ManyCallers(t *testing.T) {
	f := &shared.Flight[int64]{}
	var busy, runs atomic.Int64
	var callers sync.WaitGroup
	for i := range 50 {
		callers.Go(func() {
			for n := range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+n)%3 == 0 {
					go cancel()
				}
				_, _ = f.Do(ctx, func(ctx context.Context) int64 {
					busy.Add(1)
					defer busy.Add(-1)
					runtime.Gosched()
					return runs.Add(1)
				})
				cancel()
			}
		})
	}
	callers.Wait()
	require.Positive(t, runs.Load())
}

func TestFlight_Panics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &shared.Flight[int]{Hold: func(int) time.Duration { return time.Hour }}
		fly := func(context.Context) int {
			time.Sleep(time.Second)
			panic("a driver's fault")
		}
		leave := f.Join(t.Context(), fly)
		for range 2 {
			go func() {
				defer func() {
					text := fmt.Sprint(recover())
					if !strings.Contains(text, "a driver's fault") || !strings.Contains(text, "shared_test.go") {
						t.Errorf("each caller panics with the stack of fly: %s", text)
					}
				}()
				_, err := f.Do(t.Context(), fly)
				t.Errorf("Do returned %v", err)
			}()
		}
		time.Sleep(2 * time.Second)
		require.Panics(t, leave, "leave panics too")
		got, err := f.Do(t.Context(), func(context.Context) int { return 1 })
		require.NoError(t, err)
		require.Equal(t, 1, got, "the flight still works, and no result is held")
	})
}
