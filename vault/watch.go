package vault

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/satchelhq/satchel/internal/shared"
	"github.com/satchelhq/satchel/vault/store"
)

// pollEvery is how often a process with waiting runners polls the store for changes
// by other processes.
const pollEvery = 250 * time.Millisecond

// lookWithin bounds one such poll.
const lookWithin = 2 * time.Second

// watch wakes runners that wait for a change on the path of their scope. It polls the
// store only while runners wait.
type watch struct {
	signal  <-chan struct{} // Options.Wake
	log     *slog.Logger
	polling shared.Flight[struct{}]

	mu     sync.Mutex
	seats  map[string]map[*seat]struct{} // by each scope on the path
	looked time.Time                     // of the last poll of the store
	newest int64                         // the number of the newest change seen
	primed bool                          // newest is set
}

func (w *watch) init(signal <-chan struct{}, log *slog.Logger) {
	w.signal, w.log = signal, log
	w.seats = map[string]map[*seat]struct{}{}
}

// anyScope is the path of waiters that wait until the store works again.
const anyScope = ""

// seat is the place of one waiting runner.
type seat struct {
	path  []string
	woken chan struct{} // holds a signal if something changed
}

// join returns a seat for a runner that waits for a change on path. The caller calls
// leave.
func (w *watch) join(path ...string) *seat {
	s := &seat{path: path, woken: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, scope := range s.path {
		if w.seats[scope] == nil {
			w.seats[scope] = map[*seat]struct{}{}
		}
		w.seats[scope][s] = struct{}{}
	}
	return s
}

func (w *watch) leave(s *seat) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, scope := range s.path {
		delete(w.seats[scope], s)
		if len(w.seats[scope]) == 0 {
			delete(w.seats, scope)
		}
	}
}

// wake wakes each runner whose path includes one of scopes, once: a runner that is
// woken twice might read again for nothing.
func (w *watch) wake(scopes ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	concerned := map[*seat]struct{}{}
	for _, scope := range scopes {
		maps.Copy(concerned, w.seats[scope])
	}
	for s := range concerned {
		select {
		case s.woken <- struct{}{}:
		default:
		}
	}
}

// wait blocks until a change on the path of s, or until end. It returns the cause of
// ctx if ctx is done first.
func (w *watch) wait(ctx context.Context, storage store.Store, s *seat, end time.Time) error {
	leave := w.polling.Join(context.Background(), func(ctx context.Context) struct{} {
		w.poll(ctx, storage)
		return struct{}{}
	})
	defer leave()
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-s.woken:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// poll looks for changes until ctx is done.
func (w *watch) poll(ctx context.Context, storage store.Store) {
	signal := w.signal
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			if ctx.Err() != nil {
				return
			}
			if left := w.due(); left > 0 {
				next.Reset(left)
				continue
			}
			w.look(ctx, storage)
		case _, open := <-signal:
			if !open {
				signal = nil
				continue
			}
			w.look(ctx, storage)
		case <-ctx.Done():
			return
		}
		next.Reset(pollEvery)
	}
}

// due returns zero if a look is due, which then counts as made, and otherwise the
// time until the next one. The last look of an earlier poll counts too, because polls
// may be short.
func (w *watch) due() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := time.Until(w.looked.Add(pollEvery))
	if left > 0 {
		return left
	}
	w.looked = time.Now()
	return 0
}

// look reads the changes from the store and wakes the runners that they affect.
func (w *watch) look(ctx context.Context, storage store.Store) {
	w.mu.Lock()
	since, primed := w.newest, w.primed
	w.looked = time.Now()
	w.mu.Unlock()
	if !primed {
		since = math.MaxInt64 // only the newest number is needed
	}
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	newest, scopes, err := w.ask(ctx, storage, since)
	if err != nil {
		return // the wait continues and ends with a read, which reports the failure
	}
	w.mu.Lock()
	w.newest, w.primed = newest, true
	if !primed {
		// There may have been a change since the first runner joined.
		scopes = slices.Collect(maps.Keys(w.seats))
	}
	w.mu.Unlock()
	w.wake(append(scopes, anyScope)...)
}

// ask calls Changes of the store. It turns a panic into an error, because polling runs
// in a separate goroutine, where no server would recover from it.
func (w *watch) ask(ctx context.Context, storage store.Store, since int64) (newest int64, scopes []string, err error) {
	defer func() {
		if recover() != nil {
			w.log.ErrorContext(ctx, "storage panicked while listing changes", "stack", string(debug.Stack()))
			err = errors.New("storage panicked")
		}
	}()
	return storage.Changes(ctx, since)
}
