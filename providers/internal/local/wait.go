package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

const (
	// lookEvery is how often Wait looks whether the file is another.
	lookEvery = time.Second
	// settling is how long a file must have stayed as it is before it is read:
	// most programs that write one are done by then.
	settling = 100 * time.Millisecond
	// coarse is more than the granularity of any file system's times. A file
	// that is younger may change once more and keep its time.
	coarse = 3 * time.Second
)

// Wait implements [bundle.Waiter] for the file at path, which fetch reads. It
// looks at the path once a second, and reads the file only if it is another one
// or has another size, mode or time. So it sees an edit, a file that takes
// another's place, a symbolic link that leads elsewhere, and a file that goes
// and comes back, on any file system. docs/refresh.md says why it does not have
// itself notified.
//
// A file that becomes unusable while Wait looks on ends it with the error. One
// that was unusable from the start is no news: Wait goes on until it is usable,
// and then returns what it holds, which may be last. So no file, whatever is in
// it, makes a loop over Wait a busy one.
func Wait(ctx context.Context, path string, last *bundle.Bundle, fetch func(context.Context, *bundle.Bundle) (*bundle.Bundle, error)) (*bundle.Bundle, error) {
	w := &wait{path: path, last: last, fetch: fetch}
	var got *answer
	for {
		if apart(func() { got = w.read(ctx) }); got != nil {
			return got.bundle, got.err
		}
		if err := w.untilOther(ctx); err != nil {
			return nil, err
		}
	}
}

// apart returns when f has, which it calls in a goroutine of its own. A stack
// that has grown stays as large while its goroutine waits, and a process may
// have thousands of waits: theirs stay small.
func apart(f func()) {
	var group sync.WaitGroup
	group.Go(f)
	group.Wait()
}

// wait is one call of Wait.
type wait struct {
	path  string
	last  *bundle.Bundle
	fetch func(context.Context, *bundle.Bundle) (*bundle.Bundle, error)

	seen *sight // of the file when it was last read
	// sound and broken say that it was usable before, or was not.
	sound, broken bool
}

type answer struct {
	bundle *bundle.Bundle
	err    error
}

// read reads the file when it has settled, and returns the answer of Wait if
// that is one.
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
			continue // what was read may be a part of it
		case err == nil && (w.broken || b != w.last):
			return &answer{bundle: b}
		case err == nil:
			w.sound = true
		case w.sound || !isPermanent(err):
			return &answer{err: err}
		default:
			w.broken = true
		}
		return nil
	}
}

func isPermanent(err error) bool {
	e, ok := errors.AsType[*bundle.FetchError](err)
	return ok && e.Kind == bundle.FetchPermanent
}

// untilOther returns when the file no longer looks as it did when it was read, or
// when looks cannot tell.
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

// settle returns when the file has looked the same for a while.
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

// sight is what can be seen of a file without reading it.
type sight struct {
	info fs.FileInfo // nil if there is no file to be seen
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

// same reports whether s and o look like the same file with the same content.
func (s *sight) same(o *sight) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil && s.err == o.err
	}
	return os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() &&
		s.info.Mode() == o.info.Mode() && s.info.ModTime().Equal(o.info.ModTime())
}

// young reports whether the file may change once more and still look the same.
func (s *sight) young() bool {
	return s.info != nil && s.at.Sub(s.info.ModTime()).Abs() < coarse
}
