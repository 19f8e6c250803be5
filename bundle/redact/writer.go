package redact

import (
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"
)

// Writer masks what is written to it and passes it on. Its methods are safe for
// concurrent use; each Write is masked as one piece of a single stream, so two
// streams need two writers.
type Writer struct {
	// A closure, because what is held back may be a part of a secret.
	core func() *writer
}

type writer struct {
	dst  io.Writer
	r    *core
	idle time.Duration

	// mu is held while dst is written to: the order of the output is that of
	// the calls.
	mu     sync.Mutex
	s      stream
	failed []byte // what dst did not take
	closed bool
	timer  *time.Timer // nil until needed
	wrote  time.Time   // when the timer was last set
}

// Writer returns a writer that masks what it passes on to w.
//
// It holds back what could still begin a match, and only that, so w may lag
// behind by up to the longest form of a secret: call Close at the end. The
// output does not depend on how the input is divided into writes.
func (r *Redactor) Writer(w io.Writer) *Writer {
	c := &writer{dst: w, r: r.core(), idle: r.core().opts.IdleFlush}
	return &Writer{core: func() *writer { return c }}
}

// chunk bounds the buffers where a single Write is large.
const chunk = 64 << 10

// Write masks p and passes on what is certain. The error is that of the
// writer below, or [io.ErrShortWrite] if that took less without one. What was
// counted as written but could not be passed on is kept, and goes first at the
// next call.
func (w *Writer) Write(p []byte) (n int, err error) {
	c := w.core()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, fmt.Errorf("writing to a closed redact.Writer: %w", fs.ErrClosed)
	}
	if err := c.retry(); err != nil {
		return 0, err
	}
	m := c.r.matcher()
	for n < len(p) {
		piece := p[n:min(n+chunk, len(p))]
		n += len(piece)
		if err := c.pass(c.s.feed(m, piece, false)); err != nil {
			return n, err
		}
	}
	c.watch()
	return n, nil
}

// Flush passes on what is held back, as it is: the beginning of a secret whose
// rest comes later is not masked. It does not flush the writer below.
func (w *Writer) Flush() error {
	c := w.core()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flush()
}

// Close passes on what is held back and refuses further writes. It does not
// close the writer below. Closing again does nothing, unless that failed.
func (w *Writer) Close() error {
	c := w.core()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	return c.flush()
}

func (w *writer) flush() error {
	if err := w.retry(); err != nil {
		return err
	}
	return w.pass(w.s.feed(w.r.matcher(), nil, true))
}

// pass writes b and keeps what is not taken.
func (w *writer) pass(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	n, err := w.dst.Write(b)
	n = min(max(n, 0), len(b))
	if n < len(b) {
		w.failed = append(w.failed[:0], b[n:]...)
		if err == nil {
			err = io.ErrShortWrite
		}
	}
	return err
}

// retry writes what could not be written before.
func (w *writer) retry() error {
	b := w.failed
	w.failed = w.failed[:0]
	return w.pass(b)
}

// watch sees to it that what is held back goes out after a while.
func (w *writer) watch() {
	if w.idle <= 0 || w.s.held() == 0 {
		return
	}
	w.wrote = time.Now()
	if w.timer == nil {
		w.timer = time.AfterFunc(w.idle, w.flushIdle)
		return
	}
	w.timer.Reset(w.idle)
}

func (w *writer) flushIdle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && time.Since(w.wrote) >= w.idle { // else a Write came first
		_ = w.flush() // what is not taken goes at the next call, which reports it
	}
}
