// Package shared runs a function once for all concurrent callers that need its
// result: a [Flight]. The run is detached from the context of the caller that
// started it, so a caller whose context ends leaves without affecting the
// others. A run without callers is canceled, or continues if the flight's Stay
// is set.
package shared

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// ErrNoReturn means that the function ended its goroutine, with runtime.Goexit,
// instead of returning.
var ErrNoReturn = errors.New("the function ended its goroutine instead of returning")

// A Flight has at most one run of a function at a time, which callers share. Set its
// fields before the first use; the zero value is ready to use. A Flight is safe for
// concurrent use, and must not be copied.
type Flight[T any] struct {
	// Stay lets a run continue after its last caller has left. Default: its context
	// is canceled, and the next caller starts another run immediately.
	Stay bool
	// Hold returns the time for which later callers get the result of a run that
	// has ended, without another run. Default: nil, for no time.
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
	done    chan struct{}      // closed when the fields below are set
	value   T
	err     error
	panic   *runPanic
}

// runPanic has the value and the stack of a panic of the function.
type runPanic struct {
	value any
	stack []byte
}

// result returns the result of a run that has ended, or panics as it did.
func (r *run[T]) result() (T, error) {
	if r.panic != nil {
		panic(fmt.Sprintf("%v\n\n%s", r.panic.value, r.panic.stack))
	}
	return r.value, r.err
}

// Do joins the run under way, or starts a run of fly, and returns its result. fly
// runs in its own goroutine, with a context that has the values of ctx but neither
// its cancellation nor its deadline.
//
// The error is the error of ctx, which Do returns as soon as ctx is done, or
// [ErrNoReturn]. If fly panics, Do panics in each caller that still waits, with the
// stack of fly: a server that survives panics of its requests survives that too.
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

// Join joins the run under way, or starts a run of fly as Do does, and returns
// immediately. The caller must call leave once, when it no longer needs the run.
// Without Stay, the last leave cancels the run and returns when it has ended, so no
// goroutine is left behind. If fly has panicked, leave panics.
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
	// Deferred, so that no caller waits forever if the function ends its goroutine, as
	// a failed assertion in a test does.
	defer f.land(r)
	defer func() {
		if value := recover(); value != nil {
			r.panic = &runPanic{value, debug.Stack()}
		}
	}()
	r.value = fly(ctx)
	r.err = nil
}

// land ends a run. It notifies the callers last, so that the flight has dropped the
// run when they continue.
func (f *Flight[T]) land(r *run[T]) {
	defer close(r.done)
	f.mu.Lock()
	defer f.mu.Unlock()
	r.cancel()
	r.cancel = nil // releases the context
	if f.run != r {
		return // canceled
	}
	f.run = nil
	if f.Hold != nil && r.err == nil {
		f.last, f.until = r, time.Now().Add(f.Hold(r.value))
	}
}

// leave removes a caller from a run, and reports whether that canceled the run.
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
