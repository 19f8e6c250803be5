// Package shared runs a function once for all callers that want its result at
// the same time: a [Flight]. The run is detached from the context of the caller
// that started it, so a caller whose context ends leaves alone, and the others
// still get the result. A run that no caller waits for any more is canceled, or
// goes on, as the flight is set.
package shared

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// ErrNoReturn means that the function ended its goroutine instead of returning.
var ErrNoReturn = errors.New("the function ended its goroutine instead of returning")

// A Flight has at most one run of a function that callers share. Its fields are
// set before its first use; the zero value is ready to use. A Flight is safe for
// concurrent use, and must not be copied.
type Flight[T any] struct {
	// Stay says that a run goes on when its last caller has left. Default: its
	// context is canceled, and the next caller starts another run at once.
	Stay bool
	// Hold returns for how long the result of a run serves the callers that come
	// after its end. Default: for none of them.
	Hold func(T) time.Duration

	mu    sync.Mutex // never held during a run
	run   *run[T]    // under way, or nil
	last  *run[T]    // its result holds until then
	until time.Time
}

// run is one run of a function.
type run[T any] struct {
	callers int                // guarded by the flight's lock
	cancel  context.CancelFunc // guarded by the flight's lock; nil after the end
	done    chan struct{}      // closed when the rest is set
	value   T
	err     error
	panic   *runPanic
}

// runPanic is what the function panicked with, and where.
type runPanic struct {
	value any
	stack []byte
}

// result returns what a run that has ended brought.
func (r *run[T]) result() (T, error) {
	if r.panic != nil {
		panic(fmt.Sprintf("%v\n\n%s", r.panic.value, r.panic.stack))
	}
	return r.value, r.err
}

// Do joins the run under way, or starts one of fly, and returns its result. fly
// runs in a goroutine of its own, under a context that has the values of ctx and
// neither its end nor its deadline.
//
// The error is never fly's: it is that of ctx, which Do returns as soon as ctx
// ends, or [ErrNoReturn]. Where fly panics, so does Do in each caller that still
// waits, with the stack of fly: a server that survives the panics of its requests
// survives that too.
func (f *Flight[T]) Do(ctx context.Context, fly func(context.Context) T) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	r := f.join(ctx, fly)
	select {
	case <-r.done:
		return r.result()
	case <-ctx.Done():
		f.leave(r)
		return none, ctx.Err()
	}
}

// Join joins the run under way, or starts one of fly as Do does, and returns at
// once. The caller calls leave once, when it does not need the run any more. A
// leave that cancels the run, as the last one does without Stay, returns when the
// run has ended: no goroutine is left behind. Where fly has panicked, leave does.
func (f *Flight[T]) Join(ctx context.Context, fly func(context.Context) T) (leave func()) {
	r := f.join(ctx, fly)
	return func() {
		if f.leave(r) {
			<-r.done
		}
		select {
		case <-r.done:
			_, _ = r.result()
		default:
		}
	}
}

func (f *Flight[T]) join(ctx context.Context, fly func(context.Context) T) *run[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last != nil && time.Now().Before(f.until) {
		return f.last
	}
	f.last = nil
	if f.run == nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f.run = &run[T]{cancel: cancel, done: make(chan struct{}), err: ErrNoReturn}
		go f.fly(ctx, f.run, fly)
	}
	f.run.callers++
	return f.run
}

func (f *Flight[T]) fly(ctx context.Context, r *run[T], fly func(context.Context) T) {
	// Deferred, so that no caller waits for a function that ends its goroutine,
	// as a test's does when an assertion in it fails.
	defer f.land(r)
	defer func() {
		if value := recover(); value != nil {
			r.panic = &runPanic{value, debug.Stack()}
		}
	}()
	r.value = fly(ctx)
	r.err = nil
}

// land ends a run. Its callers are told last, so that the run has let go of the
// flight when they go on.
func (f *Flight[T]) land(r *run[T]) {
	defer close(r.done)
	f.mu.Lock()
	defer f.mu.Unlock()
	r.cancel()
	r.cancel = nil // with it, what the context refers to
	if f.run != r {
		return // canceled
	}
	f.run = nil
	if f.Hold != nil && r.err == nil {
		f.last, f.until = r, time.Now().Add(f.Hold(r.value))
	}
}

// leave gives up a caller's place in a run, and reports whether that canceled it.
func (f *Flight[T]) leave(r *run[T]) (canceled bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.callers--
	if r.callers > 0 || f.Stay || f.run != r {
		return false
	}
	r.cancel()
	f.run = nil
	return true
}
