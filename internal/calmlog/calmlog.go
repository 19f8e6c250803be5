// Package calmlog limits how often a logger repeats a message.
package calmlog

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// every is the period to which Most applies.
	every = 10 * time.Second
	// Most is the maximum number of lines with the same message and level that are
	// logged in 10 seconds.
	Most = 20
)

// New returns a logger that passes at most [Most] lines with the same message and
// level to log in 10 seconds, and drops the rest. The next line that it passes on
// has the number of dropped lines in the attribute "omitted". It uses memory for
// each distinct message, so messages must be fixed texts. Loggers derived from it share the
// limit. If log came from New, it returns log.
func New(log *slog.Logger) *slog.Logger {
	if _, ok := log.Handler().(*handler); ok {
		return log
	}
	return slog.New(&handler{Handler: log.Handler(), counts: &counts{}})
}

type handler struct {
	slog.Handler
	counts *counts // shared with the handlers of WithAttrs and WithGroup
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

// pass reports whether to log a line, and how many lines were dropped before it.
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
