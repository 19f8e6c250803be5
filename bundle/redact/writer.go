package redact

import (
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"
)

// Writer masks its input and passes it on. Its methods are safe for concurrent
// use. All writes form a single stream, so two streams need two writers. Make one
// with [Redactor.Writer].
type Writer struct {
	// A closure, because held-back bytes may be part of a secret.
	core func() *writer
}

type writer struct {
	dst  io.Writer
	r    *core
	idle time.Duration

	// mu is held during writes to dst, so that the output is in the order of the
	// calls.
	mu     sync.Mutex
	s      stream
	failed []byte // bytes that dst did not accept
	closed bool
	timer  *time.Timer // nil until needed
	wrote  time.Time   // when the timer was last set
}

// Writer returns a writer that passes its masked input on to w.
//
// It holds back only bytes that could begin a match, so w may lag behind by up to
// the longest form of a secret: call Close at the end. The output does not depend
// on how the input is split into writes.
func (r *Redactor) Writer(w io.Writer) *Writer {
	c := &writer{dst: w, r: r.core(), idle: r.core().opts.IdleFlush}
	return &Writer{core: func() *writer { return c }}
}

// chunk limits the size of buffers for a large Write.
const chunk = 64 << 10

// Write masks p and passes on all bytes that can no longer be part of a match. It
// returns the error of the underlying writer, [io.ErrShortWrite] if that wrote less
// without an error, or an error that wraps [fs.ErrClosed] after Close. Bytes that
// are counted in n but were not passed on are kept and written first by the next
// call.
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

// Flush passes on the held-back bytes. It masks a complete match, but not the
// beginning of a secret whose rest comes later. It does not flush the underlying
// writer. It returns the error of that writer, or [io.ErrShortWrite].
func (w *Writer) Flush() error {
	c := w.core()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flush()
}

// Close passes on the held-back bytes as Flush does, and makes further writes fail.
// It does not close the underlying writer. If Close fails, calling it again retries
// the write; otherwise a second call does nothing.
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

// pass writes b and keeps the bytes that dst does not accept.
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

// retry writes the bytes that dst did not accept before.
func (w *writer) retry() error {
	b := w.failed
	w.failed = w.failed[:0]
	return w.pass(b)
}

// watch schedules the flush of held-back bytes after idle.
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
		_ = w.flush() // the next call retries a failure, and reports it
	}
}
