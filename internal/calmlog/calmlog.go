// Package calmlog bounds how often a logger repeats itself.
package calmlog

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// every and Most say how many lines with one message are logged: so many in
	// so much time.
	every = 10 * time.Second
	Most  = 20
)

// New returns log without floods. Of the lines with one message and level that
// come in a short time, it passes on the first ones; the next that it passes on
// says how many were left out. Messages are fixed texts.
func New(log *slog.Logger) *slog.Logger {
	if _, ok := log.Handler().(*handler); ok {
		return log
	}
	return slog.New(&handler{Handler: log.Handler(), counts: &counts{}})
}

type handler struct {
	slog.Handler
	counts *counts // shared with those that WithAttrs and WithGroup return
}

type counts struct {
	mu        sync.Mutex
	byMessage map[key]*count
}

type key struct {
	message string
	level   slog.Level
}

type count struct {
	since           time.Time
	passed, omitted int
}

// pass reports whether a line may be logged, and how many were left out before
// it.
func (c *counts) pass(line key, t time.Time) (omitted int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byMessage == nil {
		c.byMessage = map[key]*count{}
	}
	n := c.byMessage[line]
	if n == nil {
		n = &count{since: t}
		c.byMessage[line] = n
	}
	if t.Sub(n.since) >= every {
		omitted = n.omitted
		*n = count{since: t}
	}
	if n.passed >= Most {
		n.omitted++
		return 0, false
	}
	n.passed++
	return omitted, true
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	omitted, ok := h.counts.pass(key{r.Message, r.Level}, time.Now())
	if !ok {
		return nil
	}
	if omitted > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("omitted", omitted))
	}
	return h.Handler.Handle(ctx, r)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{Handler: h.Handler.WithAttrs(attrs), counts: h.counts}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{Handler: h.Handler.WithGroup(name), counts: h.counts}
}
