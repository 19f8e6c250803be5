package satchel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// layer is one provider and the record of its fetches.
//
// Only the holder of turn calls the provider and changes the record. Readers
// without the turn hold Client.mu, and the holder holds it while it writes.
type layer struct {
	provider bundle.Provider
	waiter   bundle.Waiter // nil if the provider is not a Waiter
	// name identifies the layer in logs, hooks and Status; place is its name with its
	// index, for errors.
	name, place string
	// turn has capacity one.
	turn chan struct{}

	// Client.mu guards the two fields below. wanted counts the goroutines of Refresh
	// that want the turn; while there are any, Run does not take it. stop ends the
	// wait that has the turn, or is nil.
	wanted int
	stop   context.CancelFunc

	// The record:

	bundle *bundle.Bundle // the last good one, or nil if it was revoked
	// shown is bundle without expired secrets.
	shown *bundle.Bundle
	// schedule is replaced by each event, never modified.
	schedule
	state State // as last announced
	// warned is when the log last warned that the layer's token is due.
	warned time.Time
}

// isNil reports whether p is nil or a nil pointer, as constructors return with an
// error.
func isNil(p bundle.Provider) bool {
	v := reflect.ValueOf(p)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// newLayers names the providers. Of several with the same name, all but the first
// get a number.
func newLayers(providers []bundle.Provider) ([]*layer, error) {
	layers := make([]*layer, 0, len(providers))
	times := map[string]int{}
	for i, p := range providers {
		if isNil(p) {
			return nil, fmt.Errorf("layers[%d] is nil; leave it out", i)
		}
		name := fmt.Sprintf("%T", p)
		if named, ok := p.(fmt.Stringer); ok {
			name = named.String()
		}
		if times[name]++; times[name] > 1 {
			name = fmt.Sprintf("%s #%d", name, times[name])
		}
		l := &layer{
			provider: p,
			name:     name,
			place:    fmt.Sprintf("layers[%d] (%s)", i, name),
			turn:     make(chan struct{}, 1),
		}
		l.waiter, _ = p.(bundle.Waiter)
		layers = append(layers, l)
	}
	return layers, nil
}

// take takes the turn if it is free.
func (l *layer) take() bool {
	select {
	case l.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

// giveBack gives the turn back.
func (c *Client) giveBack(l *layer) {
	c.mu.Lock()
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
	<-l.turn
	c.mu.Unlock()
	c.poke()
}

// fetch fetches the layer and records the outcome. The caller has the turn. The end
// of ctx is not recorded.
func (c *Client) fetch(ctx context.Context, l *layer) error {
	start := time.Now()
	b, err := fetchWithin(ctx, c.opts.Timeout, l.provider, l.bundle)
	took := time.Since(start)
	if err == nil || ctx.Err() == nil || kindOf(err) != bundle.FetchUnavailable {
		c.record(l, start, b, err, func() {
			c.logCall("fetch", l, took, b, err)
			if c.opts.Observer.Fetched != nil {
				c.opts.Observer.Fetched(l.name, took, err)
			}
		})
		c.announce()
	}
	return err
}

// fetchWithin fetches from p. The fetch fails if it takes longer than limit.
func fetchWithin(ctx context.Context, limit time.Duration, p bundle.Provider, last *bundle.Bundle) (*bundle.Bundle, error) {
	late := &lateError{limit}
	attempt, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	b, err := p.Fetch(attempt, last)
	if err != nil && ctx.Err() == nil && attempt.Err() != nil && !errors.Is(err, late) { // package http returns late itself
		err = fmt.Errorf("%s: %w", late, err)
	}
	return b, err
}

// lateError is the cause of the context's end when an attempt takes too long. It
// is a [context.DeadlineExceeded], and a [bundle.FetchError], which tells
// [bundle.Optional] that only the attempt is over.
type lateError struct{ limit time.Duration }

func (e *lateError) Error() string      { return fmt.Sprintf("no response within %s", e.limit) }
func (*lateError) Timeout() bool        { return true }
func (*lateError) Is(target error) bool { return target == context.DeadlineExceeded }
func (*lateError) Unwrap() error        { return new(bundle.FetchError) }

// record records the outcome of a fetch that began at start, or of a wait that counts
// as one: a bundle, or an error and no bundle. It queues tell before the consequences.
func (c *Client) record(l *layer, start time.Time, b *bundle.Bundle, err error, tell func()) {
	var withdrawn bool
	now := time.Now()
	if !l.revoked && l.withdrawn(now, err) {
		withdrawn = c.opts.OnRevoked == nil || !c.opts.OnRevoked(l.name, err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.news = append(c.news, tell)
	switch {
	case withdrawn:
		l.bundle = nil
		c.feedRedactors()
	case err == nil && !b.Equal(l.bundle): // of equal bundles, keep the older
		l.bundle = b
		c.feedRedactors() // before Bundle returns a value of b
	}
	l.schedule = l.schedule.fetched(start, now, l.bundle, err, c.opts.Interval, rand.N)
	if err == nil {
		c.warnOfToken(l, now)
	}
	switch {
	case c.current.Load() != nil:
		c.settle(now)
	case err == nil:
	case c.opts.Observer.Waiting != nil:
		if kindOf(err) == bundle.FetchUnavailable {
			c.news = append(c.news, func() { c.opts.Observer.Waiting(l.name, err) })
		}
	case l.attempts == 1:
		// New publishes once it has every layer; until then, only this line shows why
		// it waits.
		c.log(slog.LevelWarn, "first fetch failed", "layer", l.name, "error", err)
	}
}

// warnOfToken logs once a day that a token must be rotated: once it has expired,
// the source revokes the layer.
func (c *Client) warnOfToken(l *layer, now time.Time) {
	meta := l.bundle.Meta()
	if !meta.TokenDue(now) || !l.warned.IsZero() && now.Sub(l.warned) < 24*time.Hour {
		return
	}
	l.warned = now
	args := []any{"layer", l.name, "token", meta.TokenID}
	if end := meta.TokenExpires; !end.IsZero() {
		args = append(args, "expires", end)
	}
	c.log(slog.LevelWarn, "the token must be rotated", args...)
}

// kindOf returns the kind of err. Any error without a known kind, and nil, counts as
// unavailable.
func kindOf(err error) bundle.FetchKind {
	if e, ok := errors.AsType[*bundle.FetchError](err); ok && (e.Kind == bundle.FetchPermanent || e.Kind == bundle.FetchRevoked) {
		return e.Kind
	}
	return bundle.FetchUnavailable
}

// logCall logs the outcome of a call of the layer's provider.
func (c *Client) logCall(call string, l *layer, took time.Duration, b *bundle.Bundle, err error) {
	if err != nil {
		c.opts.Logger.Debug(call+" failed", "layer", l.name, "took", took, "error", err)
		return
	}
	c.opts.Logger.Debug(call+" succeeded", "layer", l.name, "took", took, "revision", b.Revision())
}
