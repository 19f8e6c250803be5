package vault

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// logEvery and logMost say how many lines with one message are logged: so
	// many in so much time.
	logEvery = 10 * time.Second
	logMost  = 20
)

// boundedLogger returns log without floods. Of the lines with one message and
// level that come in a short time, it passes on the first ones; the next that it
// passes on says how many were left out. Messages are fixed texts.
func boundedLogger(log *slog.Logger) *slog.Logger {
	if _, ok := log.Handler().(*boundedHandler); ok {
		return log
	}
	return slog.New(&boundedHandler{Handler: log.Handler(), counts: &logCounts{}})
}

type boundedHandler struct {
	slog.Handler
	counts *logCounts // shared with those that WithAttrs and WithGroup return
}

type logCounts struct {
	mu        sync.Mutex
	byMessage map[logKey]*logCount
}

type logKey struct {
	message string
	level   slog.Level
}

type logCount struct {
	since           time.Time
	passed, omitted int
}

// pass reports whether a line may be logged, and how many were left out before
// it.
func (c *logCounts) pass(key logKey, t time.Time) (omitted int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byMessage == nil {
		c.byMessage = map[logKey]*logCount{}
	}
	count := c.byMessage[key]
	if count == nil {
		count = &logCount{since: t}
		c.byMessage[key] = count
	}
	if t.Sub(count.since) >= logEvery {
		omitted = count.omitted
		*count = logCount{since: t}
	}
	if count.passed >= logMost {
		count.omitted++
		return 0, false
	}
	count.passed++
	return omitted, true
}

func (h *boundedHandler) Handle(ctx context.Context, r slog.Record) error {
	omitted, ok := h.counts.pass(logKey{r.Message, r.Level}, time.Now())
	if !ok {
		return nil
	}
	if omitted > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("omitted", omitted))
	}
	return h.Handler.Handle(ctx, r)
}

func (h *boundedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &boundedHandler{Handler: h.Handler.WithAttrs(attrs), counts: h.counts}
}

func (h *boundedHandler) WithGroup(name string) slog.Handler {
	return &boundedHandler{Handler: h.Handler.WithGroup(name), counts: h.counts}
}
