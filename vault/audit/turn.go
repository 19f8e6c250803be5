package audit

import (
	"context"
	"sync"
)

// turns lets callers with the same key take turns, in the order of their calls. A key
// takes memory only while it has callers.
type turns struct {
	mu    sync.Mutex // never held while a caller waits
	lines map[string]*line
}

// line is the queue of the callers with one key.
type line struct {
	turn    chan struct{} // full while it is a caller's turn
	callers int           // guarded by the lock of turns
}

// take returns when it is the caller's turn, which lasts until it calls release, or
// with the cause of ctx when that ends.
func (t *turns) take(ctx context.Context, key string) (release func(), err error) {
	t.mu.Lock()
	l := t.lines[key]
	if l == nil {
		l = &line{turn: make(chan struct{}, 1)}
		if t.lines == nil {
			t.lines = map[string]*line{}
		}
		t.lines[key] = l
	}
	l.callers++
	t.mu.Unlock()

	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if l.callers--; l.callers == 0 {
			delete(t.lines, key)
		}
	}
	select {
	case l.turn <- struct{}{}:
		return func() { <-l.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
