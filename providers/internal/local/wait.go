package local

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"sync"
	"time"
	"weak"

	"github.com/satchelhq/satchel/bundle"
)

const (
	// lookEvery is the interval at which Wait checks the file.
	lookEvery = time.Second
	// settling is how long a file must be unchanged before it is read. Most
	// programs finish writing within that time.
	settling = 100 * time.Millisecond
	// coarse exceeds the granularity of any file system's times. A younger file
	// may change again without a new time.
	coarse = 3 * time.Second
)

// Watch notices changes of a file for a provider. It remembers which callers know that
// the file is unusable, so that nothing is missed between their calls. The zero value
// is ready to use, and is safe for concurrent use.
type Watch struct {
	mu sync.Mutex
	// told has the last bundle of each caller that was told a permanent error since its
	// last success. Weak pointers keep no bundle in memory.
	told map[weak.Pointer[bundle.Bundle]]bool
}

// fetchFunc is the Fetch of a provider.
type fetchFunc = func(context.Context, *bundle.Bundle) (*bundle.Bundle, error)

// Fetch calls fetch, and remembers the outcome for Wait.
func (w *Watch) Fetch(ctx context.Context, last *bundle.Bundle, fetch fetchFunc) (*bundle.Bundle, error) {
	b, err := fetch(ctx, last)
	w.tell(last, err)
	return b, err
}

// Wait implements [bundle.Waiter] for the file at path, which fetch reads. It reads the
// file first, because it may have changed since last was fetched. From then on, it checks
// the path once per second, and reads the file only if it is another file or has
// another size, mode or time. It thus detects edits, replaced files and symbolic
// links, and files that are removed or created, on any file system. docs/refresh.md
// explains why it does not use notifications.
//
// If the file is or becomes unusable, Wait returns the error. If Fetch or Wait has
// already returned such an error for last, Wait continues until the file is usable and
// then returns its bundle, which may be last. A loop over Wait is therefore never busy.
// An unavailable error is returned immediately, for the caller to back off.
func (w *Watch) Wait(ctx context.Context, path string, last *bundle.Bundle, fetch fetchFunc) (*bundle.Bundle, error) {
	wait := &wait{path: path, last: last, fetch: fetch, broken: w.knows(last)}
	var got *answer
	for {
		if apart(func() { got = wait.read(ctx) }); got != nil {
			w.tell(last, got.err)
			return got.bundle, got.err
		}
		if err := wait.untilOther(ctx); err != nil {
			return nil, err
		}
	}
}

// tell remembers what the caller with last was told.
func (w *Watch) tell(last *bundle.Bundle, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		delete(w.told, weak.Make(last))
	case isPermanent(err):
		if w.told == nil {
			w.told = map[weak.Pointer[bundle.Bundle]]bool{}
		}
		// Callers may be gone.
		maps.DeleteFunc(w.told, func(p weak.Pointer[bundle.Bundle], _ bool) bool { return p.Value() == nil })
		w.told[weak.Make(last)] = true
	}
}

func (w *Watch) knows(last *bundle.Bundle) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told[weak.Make(last)]
}

// apart calls f in another goroutine and returns when f has returned. A grown stack
// does not shrink while its goroutine waits, and a process may have thousands of
// waits, so this keeps their stacks small.
func apart(f func()) {
	var group sync.WaitGroup
	group.Go(f)
	group.Wait()
}

// wait is one call of Wait.
type wait struct {
	path  string
	last  *bundle.Bundle
	fetch fetchFunc

	seen *sight // of the file when it was last read
	// broken reports that the caller knows that the file is unusable.
	broken bool
}

type answer struct {
	bundle *bundle.Bundle
	err    error
}

// read reads the file once it has settled, and returns the result of Wait, or nil to
// continue.
func (w *wait) read(ctx context.Context) *answer {
	for {
		if err := w.settle(ctx); err != nil {
			return &answer{err: err}
		}
		b, err := w.fetch(ctx, w.last)
		switch {
		case ctx.Err() != nil:
			return &answer{err: ctx.Err()}
		case !look(w.path).same(w.seen):
			continue // the read may be partial
		case err == nil && (w.broken || b != w.last):
			return &answer{bundle: b}
		case err != nil && !(w.broken && isPermanent(err)):
			return &answer{err: err}
		}
		return nil
	}
}

func isPermanent(err error) bool {
	e, ok := errors.AsType[*bundle.FetchError](err)
	return ok && e.Kind == bundle.FetchPermanent
}

// untilOther returns when the file's metadata differs from that of the last read, or
// when the file is too young to tell.
func (w *wait) untilOther(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var other bool
	for !other {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		apart(func() { other = w.seen.young() || !look(w.path).same(w.seen) })
	}
	return nil
}

// settle returns when the file's metadata has been stable for a while.
func (w *wait) settle(ctx context.Context) error {
	for {
		w.seen = look(w.path)
		timer := time.NewTimer(settling)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if look(w.path).same(w.seen) {
			return nil
		}
	}
}

// sight is the metadata of a file.
type sight struct {
	info fs.FileInfo // nil if os.Stat failed
	err  string
	at   time.Time
}

func look(path string) *sight {
	s := &sight{at: time.Now()}
	info, err := os.Stat(path)
	if err != nil {
		s.err = err.Error()
		return s
	}
	s.info = info
	return s
}

// same reports whether s and o have equal metadata of the same file.
func (s *sight) same(o *sight) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil && s.err == o.err
	}
	return os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() &&
		s.info.Mode() == o.info.Mode() && s.info.ModTime().Equal(o.info.ModTime())
}

// young reports whether the file may change again without a change of metadata.
func (s *sight) young() bool {
	return s.info != nil && s.at.Sub(s.info.ModTime()).Abs() < coarse
}
