package vault

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// pollEvery is how often a process with waiting runners asks its storage for
// changes that other processes made.
const pollEvery = 250 * time.Millisecond

// watch wakes runners that wait for a change on the path of their scope. It
// has no goroutine of its own: one of those who wait polls for all.
type watch struct {
	mu      sync.Mutex
	seats   map[string]map[*seat]struct{} // by each scope on the path
	polling bool
	idle    chan struct{} // closed when the one who polls leaves
	looked  time.Time     // when storage was last asked, by whoever had the turn
	newest  int64         // the number of the newest change seen
	primed  bool          // newest is set
}

// seat is one waiting runner's place.
type seat struct {
	path  []string
	woken chan struct{} // holds a token if something changed
}

func (w *watch) join(scope string) *seat {
	s := &seat{path: Path(scope), woken: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seats == nil {
		w.seats = map[string]map[*seat]struct{}{}
		w.idle = make(chan struct{})
	}
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
func (w *watch) wait(ctx context.Context, storage Storage, s *seat, end time.Time) error {
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	for {
		idle, mine := w.takeTurn()
		if mine {
			return w.poll(ctx, storage, s, timer.C)
		}
		select {
		case <-idle:
		case <-s.woken:
			return nil
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// takeTurn makes the caller the one who polls, or returns a channel that tells
// when there is nobody.
func (w *watch) takeTurn() (idle <-chan struct{}, mine bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.polling {
		return w.idle, false
	}
	w.polling = true
	return nil, true
}

// yield ends the caller's turn at polling.
func (w *watch) yield() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.polling = false
	close(w.idle)
	w.idle = make(chan struct{})
}

// poll is wait for the one whose turn it is.
func (w *watch) poll(ctx context.Context, storage Storage, s *seat, end <-chan time.Time) error {
	defer w.yield()
	// Turns may be short; what counts is the time since anybody looked.
	w.mu.Lock()
	next := time.NewTimer(time.Until(w.looked.Add(pollEvery)))
	w.mu.Unlock()
	defer next.Stop()
	for {
		select {
		case <-next.C:
			w.look(ctx, storage)
			next.Reset(pollEvery)
		case <-s.woken:
			return nil
		case <-end:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// look asks storage for changes and wakes those concerned.
func (w *watch) look(ctx context.Context, storage Storage) {
	w.mu.Lock()
	since, primed := w.newest, w.primed
	w.looked = time.Now()
	w.mu.Unlock()
	if !primed {
		since = math.MaxInt64 // only the number is of interest
	}
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
	w.wake(scopes...)
}
