// Package batch commits items that concurrent callers bring together: a group
// commit. The first caller's item is committed at once; those that come during a
// commit wait and are committed together when it ends. Use a [Group] where a
// commit costs much and its cost hardly depends on the number of items, as that
// of an fsync or of a transaction.
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
	// ErrClosed means that the group was closed.
	ErrClosed = errors.New("batch: the group is closed")
	// ErrFull means that as many items wait already as may.
	ErrFull = errors.New("batch: too many items are waiting")

	errNoReturn = errors.New("batch: Commit ended its goroutine instead of returning")
)

// A Group commits items, one batch at a time. Its fields are set before its
// first use. A Group is safe for concurrent use, and must not be copied. It has
// a goroutine only while there is something to commit.
type Group[T any] struct {
	// Commit commits the items of one batch, in the order in which they came. It
	// returns how many of them, from the first on, are committed; the others get
	// err. ctx has the values of the context of the first item's caller, and
	// neither its end nor its deadline: Commit sets a limit of its own. If Commit
	// panics, each caller that waits for the batch panics. Required.
	Commit func(ctx context.Context, items []T) (committed int, err error)
	// Most is how many items a batch has at most. Default: no limit.
	Most int
	// MostWaiting is how many items wait for a commit at most, those of the batch
	// under way not counted. Default: no limit.
	MostWaiting int

	mu      sync.Mutex    // never held during a commit
	waiting list.List     // of *waiter[T]
	idle    chan struct{} // closed at the end of the last commit; nil while there is none
	closed  bool
	atRest  func() // called without the lock when the last commit has ended; may be nil
}

// waiter is a caller and its item.
type waiter[T any] struct {
	ctx     context.Context //nolint:containedctx // of the batch, if the item is its first
	item    T
	place   *list.Element // nil once the item is in a batch; guarded by the group's lock
	outcome chan outcome  // has room for one
}

type outcome struct {
	err   error
	panic *commitPanic
}

// commitPanic is what Commit panicked with, and where.
type commitPanic struct {
	value any
	stack []byte
}

// Do has item committed, together with those of other callers, and returns when
// it is or has failed to be. The error is that of Commit, [ErrClosed],
// [ErrFull], or the cause of the end of ctx.
//
// When ctx ends, Do returns at once. An item that still waits is then taken out
// and not committed; the outcome of one whose batch is being committed stays
// unknown to the caller.
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

// Close lets no further items in and waits until those that are in are
// committed. It returns at once if it was called before and nothing is left to
// commit.
func (g *Group[T]) Close() {
	g.mu.Lock()
	g.closed = true
	idle := g.idle
	g.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

// join adds an item, and starts a commit if none is under way.
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

// leave takes back an item that still waits.
func (g *Group[T]) leave(w *waiter[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.place != nil {
		g.waiting.Remove(w.place)
		w.place = nil
	}
}

// take returns the next batch. The lock is held.
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

// commit commits a batch, tells its callers, and has the next one committed.
func (g *Group[T]) commit(batch []*waiter[T]) {
	committed, failed := 0, outcome{err: errNoReturn}
	// Deferred, so that nothing waits for a Commit that panics or that ends its
	// goroutine, as a test's does when an assertion in it fails.
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

// next has the next batch committed, if anything waits.
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

// resting reports whether nothing waits and no commit is under way.
func (g *Group[T]) resting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.idle == nil
}
