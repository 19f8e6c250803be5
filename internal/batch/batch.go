// Package batch implements group commit: it commits the items of concurrent callers
// together. The first item is committed immediately. Items that arrive during a
// commit wait, and are committed together when it ends. Use a [Group] for commits
// that are expensive regardless of the number of items, such as an fsync or a
// transaction.
package batch

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

var (
	// ErrClosed is the error of [Group.Do] after [Group.Close].
	ErrClosed = errors.New("batch: group is closed")
	// ErrFull is the error of [Group.Do] if MostWaiting items are waiting.
	ErrFull = errors.New("batch: too many items are waiting")

	errNoReturn = errors.New("batch: Commit ended its goroutine instead of returning")
)

// A Group commits items, one batch at a time. Set its fields before the first use. A
// Group is safe for concurrent use and must not be copied. It has a goroutine only
// during commits.
type Group[T any] struct {
	// Commit commits the items of one batch, in the order of their arrival. It
	// returns the number of committed items at the start of the list; the callers of
	// the others get err. ctx has the values of the context of the first item's
	// caller, but not its cancellation or deadline: Commit must set its own timeout.
	// If Commit panics, Do panics in each caller whose item is in the batch.
	// Required.
	Commit func(ctx context.Context, items []T) (committed int, err error)
	// Most is the maximum number of items in a batch. Default: no limit.
	Most int
	// MostWaiting is the maximum number of waiting items, not counting those of the
	// current commit. Default: no limit.
	MostWaiting int

	mu      sync.Mutex    // never held during a commit
	waiting list.List     // of *waiter[T]
	idle    chan struct{} // closed at the end of the last commit; nil if no commit is running
	closed  bool
	atRest  func() // called without the lock after the last commit; may be nil
}

// waiter is a caller and its item.
type waiter[T any] struct {
	ctx     context.Context //nolint:containedctx // of the batch, if the item is its first
	item    T
	place   *list.Element // nil once the item is in a batch; guarded by the group's lock
	outcome chan outcome  // with a buffer of one
}

type outcome struct {
	err   error
	panic *commitPanic
}

// commitPanic is the value of a panic of Commit, and its stack.
type commitPanic struct {
	value any
	stack []byte
}

// Do commits item together with those of other callers, and returns when the commit
// has succeeded or failed. The error is that of Commit, [ErrClosed], [ErrFull], or
// the cause of the cancellation of ctx.
//
// When ctx is done, Do returns immediately. A waiting item is then removed and not
// committed; if the commit of the item has started, its outcome stays unknown to the
// caller.
func (g *Group[T]) Do(ctx context.Context, item T) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w := &waiter[T]{ctx: context.WithoutCancel(ctx), item: item, outcome: make(chan outcome, 1)}
	if err := g.join(w); err != nil {
		return err
	}
	select {
	case o := <-w.outcome:
		return o.result()
	case <-ctx.Done():
	}
	g.leave(w)
	select {
	case o := <-w.outcome:
		return o.result()
	default:
		return context.Cause(ctx)
	}
}

func (o outcome) result() error {
	if o.panic != nil {
		panic(fmt.Sprintf("%v\n\n%s", o.panic.value, o.panic.stack))
	}
	return o.err
}

// Close makes further calls of Do fail, and waits until all accepted items are
// committed. It may be called more than once.
func (g *Group[T]) Close() {
	g.mu.Lock()
	g.closed = true
	idle := g.idle
	g.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

// join adds an item, and starts a commit if none is running.
func (g *Group[T]) join(w *waiter[T]) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	if g.MostWaiting > 0 && g.waiting.Len() >= g.MostWaiting {
		return ErrFull
	}
	w.place = g.waiting.PushBack(w)
	if g.idle == nil {
		g.idle = make(chan struct{})
		go g.commit(g.take())
	}
	return nil
}

// leave removes an item that is still waiting.
func (g *Group[T]) leave(w *waiter[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.place != nil {
		g.waiting.Remove(w.place)
		w.place = nil
	}
}

// take returns the next batch. The caller holds the lock.
func (g *Group[T]) take() []*waiter[T] {
	n := g.waiting.Len()
	if g.Most > 0 {
		n = min(n, g.Most)
	}
	batch := make([]*waiter[T], n)
	for i := range batch {
		batch[i] = g.waiting.Remove(g.waiting.Front()).(*waiter[T])
		batch[i].place = nil
	}
	return batch
}

// commit commits a batch, notifies its callers, and starts the next commit.
func (g *Group[T]) commit(batch []*waiter[T]) {
	committed, failed := 0, outcome{err: errNoReturn}
	// Deferred, so that no caller waits forever if Commit panics or ends its
	// goroutine, as a failed assertion in a test does.
	defer func() {
		if value := recover(); value != nil {
			failed = outcome{panic: &commitPanic{value, debug.Stack()}}
		}
		for i, w := range batch {
			if i < committed {
				w.outcome <- outcome{}
			} else {
				w.outcome <- failed
			}
		}
		g.next()
	}()
	items := make([]T, len(batch))
	for i, w := range batch {
		items[i] = w.item
	}
	committed, failed.err = g.Commit(batch[0].ctx, items)
}

// next starts the next commit if items are waiting.
func (g *Group[T]) next() {
	g.mu.Lock()
	batch := g.take()
	if len(batch) == 0 {
		close(g.idle)
		g.idle = nil
	}
	g.mu.Unlock()
	if len(batch) > 0 {
		go g.commit(batch)
	} else if g.atRest != nil {
		g.atRest()
	}
}

// resting reports whether no item is waiting and no commit is running.
func (g *Group[T]) resting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.idle == nil
}
