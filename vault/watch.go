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

// pollEvery is how often a process with waiting runners asks its storage for
// changes that other processes made.
const pollEvery = 250 * time.Millisecond

// lookWithin bounds one such question.
const lookWithin = 2 * time.Second

// watch wakes runners that wait for a change on the path of their scope. It
// polls the storage while there are any.
type watch struct {
	signal  <-chan struct{} // Options.Wake
	log     *slog.Logger
	polling shared.Flight[struct{}]

	mu     sync.Mutex
	seats  map[string]map[*seat]struct{} // by each scope on the path
	looked time.Time                     // when storage was last asked
	newest int64                         // the number of the newest change seen
	primed bool                          // newest is set
}

func (w *watch) init(signal <-chan struct{}, log *slog.Logger) {
	w.signal, w.log = signal, log
	w.seats = map[string]map[*seat]struct{}{}
}

// anyScope stands for the path of those who wait for a sign of life of the
// storage.
const anyScope = ""

// seat is one waiting runner's place.
type seat struct {
	path  []string
	woken chan struct{} // holds a token if something changed
}

// join gives a place to somebody who waits for a change on path.
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

// wake tells those whose path goes through one of scopes, each once: one that is
// told twice may have read in between, and would read again.
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

// wait blocks until something changed on the path of s, or end.
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

// poll looks for changes until ctx ends.
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
// time until the next one. Polling may be short: the time since the last look of
// any poll counts.
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

// look asks storage for changes and wakes those concerned.
func (w *watch) look(ctx context.Context, storage store.Store) {
	w.mu.Lock()
	since, primed := w.newest, w.primed
	w.looked = time.Now()
	w.mu.Unlock()
	if !primed {
		since = math.MaxInt64 // only the number is of interest
	}
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	newest, scopes, err := w.ask(ctx, storage, since)
	if err != nil {
		return // waiting goes on; its end is a read, which reports the failure
	}
	w.mu.Lock()
	w.newest, w.primed = newest, true
	if !primed {
		// Something may have changed since the first one sat down.
		scopes = slices.Collect(maps.Keys(w.seats))
	}
	w.mu.Unlock()
	w.wake(append(scopes, anyScope)...)
}

// ask is Changes of the storage. A panic counts as a failure: polling has a
// goroutine of its own, so no server would catch it.
func (w *watch) ask(ctx context.Context, storage store.Store, since int64) (newest int64, scopes []string, err error) {
	defer func() {
		if recover() != nil {
			w.log.ErrorContext(ctx, "the storage panicked when asked for changes", "stack", string(debug.Stack()))
			err = errors.New("the storage panicked")
		}
	}()
	return storage.Changes(ctx, since)
}
