package satchel

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// settle derives the snapshot and the states from the layers' records at now, and
// sets the deadline at which time alone will change them. It is the only place
// that replaces the snapshot. The caller holds mu, and calls announce after it has
// released mu.
func (c *Client) settle(now time.Time) {
	shown := make([]*bundle.Bundle, len(c.layers))
	c.deadline = time.Time{}
	for i, l := range c.layers {
		c.dropExpired(l, now)
		c.changeState(l, now)
		shown[i] = l.shown
	}
	c.poke()

	old, merged := c.current.Load(), bundle.Merge(shown...)
	if old != nil && old.Equal(merged) {
		return
	}
	c.current.Store(merged)
	if c.replaced != nil {
		close(c.replaced)
		c.replaced = nil
	}
	c.tellShadows(old, merged)
	diff := bundle.Compare(old, merged)
	c.log(slog.LevelDebug, "bundle replaced", "change", diff, "secrets", inventory{merged})
	if old == nil || diff.Empty() {
		return
	}
	c.log(slog.LevelInfo, "secrets changed", "added", len(diff.Added), "changed", len(diff.Changed), "removed", len(diff.Removed))
	if c.opts.Observer.Changed != nil {
		c.news = append(c.news, func() { c.opts.Observer.Changed(diff) })
	}
}

// tellShadows logs, once, which values begin to shadow those of earlier layers:
// updates to the shadowed ones have no effect. A value that moves to another line
// of its file is not a new one.
func (c *Client) tellShadows(old, merged *bundle.Bundle) {
	told := map[bundle.Shadow]bool{}
	for _, s := range old.Shadowed() {
		told[withoutLines(s)] = true
	}
	for _, s := range merged.Shadowed() {
		if !told[withoutLines(s)] {
			c.log(slog.LevelInfo, "a value shadows another layer's", "secret", s.Name, "winner", s.Winner, "hidden", s.Hidden, "same", s.Same,
				"to_end_this", s.Fix())
		}
	}
}

// withoutLines returns s with files in place of their lines.
func withoutLines(s bundle.Shadow) bundle.Shadow {
	for _, o := range []*bundle.Origin{&s.Winner, &s.Hidden} {
		if file, _, ok := o.FileLine(); ok {
			o.Location = file
		}
	}
	return s
}

// dropExpired sets the layer's shown bundle, and logs secrets that have expired.
func (c *Client) dropExpired(l *layer, now time.Time) {
	live, expired := liveAt(l.bundle, now)
	for s := range live.All() {
		c.settleBy(s.Expires)
	}
	for _, name := range expired {
		if _, shown := l.shown.Get(name); shown {
			c.log(slog.LevelWarn, "secret expired", "layer", l.name)
		}
	}
	l.shown = live
}

// liveAt returns b with a Problem in place of each secret that has expired at now,
// and the names of these secrets. If there are none, it returns b itself.
func liveAt(b *bundle.Bundle, now time.Time) (live *bundle.Bundle, expired []string) {
	var secrets []bundle.Secret
	meta := b.Meta()
	for s := range b.All() {
		if s.Expires.IsZero() || !over(s.Expires, now) {
			secrets = append(secrets, s)
			continue
		}
		expired = append(expired, s.Name)
		meta.Problems = append(meta.Problems, bundle.Problem{
			Name:      s.Name,
			Origin:    s.Origin,
			Reason:    fmt.Sprintf("expired at %s", s.Expires.UTC().Format(time.RFC3339)),
			Retryable: true,
		})
	}
	if expired == nil {
		return b, nil
	}
	live, err := bundle.New(secrets, &meta)
	if err != nil {
		panic(fmt.Sprintf("satchel: a subset of a bundle is invalid: %v", err))
	}
	return live, expired
}

// changeState announces the layer's state if it has changed.
func (c *Client) changeState(l *layer, now time.Time) {
	from, to := l.state, l.stateAt(now, c.opts.MaxStale)
	if to == Fresh || to == Stale {
		c.settleBy(l.refreshed.Add(c.opts.MaxStale))
	}
	if from == to {
		return
	}
	l.state = to
	level := slog.LevelWarn
	if to == Fresh {
		level = slog.LevelInfo
	}
	args := []any{"layer", l.name, "from", from.String(), "to", to.String()}
	if l.err != nil {
		args = append(args, "error", l.err)
	}
	c.log(level, "layer changed state", args...)
	if c.opts.Observer.StateChanged != nil {
		c.news = append(c.news, func() { c.opts.Observer.StateChanged(l.name, from, to) })
	}
}

// settleBy brings the deadline forward to t, unless t is zero.
func (c *Client) settleBy(t time.Time) {
	if !t.IsZero() && (c.deadline.IsZero() || t.Before(c.deadline)) {
		c.deadline = t.Round(0)
	}
}

// over reports whether the wall clock has reached t. Expiries are dates, and the
// monotonic clock stops while a machine sleeps.
func over(t, now time.Time) bool { return !now.Round(0).Before(t.Round(0)) }

// log queues a log line for announce. The caller holds mu.
func (c *Client) log(level slog.Level, msg string, args ...any) {
	c.news = append(c.news, func() { c.opts.Logger.Log(context.Background(), level, msg, args...) })
}

// announce calls the pending hooks and log lines, in order and without the lock. If
// another goroutine is already doing so, that goroutine calls them.
func (c *Client) announce() {
	c.mu.Lock()
	if !c.announcing {
		c.announcing = true
		for len(c.news) > 0 {
			tell := c.news[0]
			c.news = slices.Delete(c.news, 0, 1)
			c.mu.Unlock()
			tell()
			c.mu.Lock()
		}
		c.announcing, c.news = false, nil
	}
	c.mu.Unlock()
}

// inventory logs the name and the origin of every secret.
type inventory struct{ b *bundle.Bundle }

func (v inventory) LogValue() slog.Value {
	var attrs []slog.Attr
	for s := range v.b.All() {
		attrs = append(attrs, slog.String(s.Name, s.Origin.String()))
	}
	return slog.GroupValue(attrs...)
}
