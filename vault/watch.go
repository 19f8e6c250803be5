package vault

import (
	"context"
	"github.com/satchelhq/satchel/vault/store"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// pollEvery is how often a process with waiting runners asks its storage for
// changes that other processes made.
const pollEvery = 250 * time.Millisecond

// lookWithin bounds one such question: while one who waits asks, nobody else
// does.
const lookWithin = 2 * time.Second

// watch wakes runners that wait for a change on the path of their scope. It
// has no goroutine of its own: one of those who wait polls for all.
type watch struct {
	turn   chan struct{}   // holds a token while nobody polls
	signal <-chan struct{} // Options.Wake; only for the one who polls

	mu     sync.Mutex
	seats  map[string]map[*seat]struct{} // by each scope on the path
	looked time.Time                     // when storage was last asked, by whoever had the turn
	newest int64                         // the number of the newest change seen
	primed bool                          // newest is set
}

func (w *watch) init(signal <-chan struct{}) {
	w.signal = signal
	w.turn = make(chan struct{}, 1)
	w.turn <- struct{}{}
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

// wake tells those whose path goes through one of scopes.
func (w *watch) wake(scopes ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, scope := range scopes {
		for s := range w.seats[scope] {
			select {
			case s.woken <- struct{}{}:
			default:
			}
		}
	}
}

// wait blocks until something changed on the path of s, or end.
func (w *watch) wait(ctx context.Context, storage store.Store, s *seat, end time.Time) error {
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-w.turn:
		defer func() { w.turn <- struct{}{} }()
		return w.poll(ctx, storage, s, timer.C)
	case <-s.woken:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// poll is wait for the one whose turn it is.
func (w *watch) poll(ctx context.Context, storage store.Store, s *seat, end <-chan time.Time) error {
	// Turns may be short; what counts is the time since anybody looked.
	w.mu.Lock()
	next := time.NewTimer(time.Until(w.looked.Add(pollEvery)))
	w.mu.Unlock()
	defer next.Stop()
	for {
		select {
		case <-next.C:
			w.look(ctx, storage)
		case _, open := <-w.signal:
			if !open {
				w.signal = nil
				continue
			}
			w.look(ctx, storage)
		case <-s.woken:
			return nil
		case <-end:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		next.Reset(pollEvery)
	}
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
	newest, scopes, err := storage.Changes(ctx, since)
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
