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
// Whoever holds turn is the only one to call the provider and to change the
// record. Readers without the turn hold Client.mu, and so does the holder
// while it writes.
type layer struct {
	provider bundle.Provider
	waiter   bundle.Waiter // nil if the provider is none
	// name is what logs, hooks and Status call the layer; place is its name
	// with its index, for errors.
	name, place string
	// turn has room for one.
	turn chan struct{}

	// Client.mu guards what follows up to the record. wanted counts those of
	// Refresh who want the turn; while there are any, Run does not take it. stop
	// ends the wait that has the turn, if one has.
	wanted int
	stop   context.CancelFunc

	// The record:

	bundle *bundle.Bundle // the last good one, or nil if it was revoked
	// shown is bundle without what has expired.
	shown *bundle.Bundle
	// schedule is never changed in part: each event replaces it.
	schedule
	state State // as last announced
	// warned is when the log last said that the layer's token ends soon.
	warned time.Time
}

// isNil reports whether p is nil or a nil pointer, as a constructor returns it
// beside its error.
func isNil(p bundle.Provider) bool {
	v := reflect.ValueOf(p)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// newLayers names the providers. Of several with one name the later ones get a
// number.
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

// fetch fetches the layer and records the outcome. The caller has the turn.
// That ctx ended is no outcome.
func (c *Client) fetch(ctx context.Context, l *layer) error {
	start := time.Now()
	b, err := fetchWithin(ctx, c.opts.Timeout, l.provider, l.bundle)
	took := time.Since(start)
	if err == nil || ctx.Err() == nil || kindOf(err) != bundle.FetchUnavailable {
		c.record(l, b, err, func() {
			c.logCall("fetch", l, took, b, err)
			if c.opts.Observer.Fetched != nil {
				c.opts.Observer.Fetched(l.name, took, err)
			}
		})
		c.announce()
	}
	return err
}

// fetchWithin fetches from p. What takes longer than limit has failed.
func fetchWithin(ctx context.Context, limit time.Duration, p bundle.Provider, last *bundle.Bundle) (*bundle.Bundle, error) {
	late := &lateError{limit}
	attempt, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	b, err := p.Fetch(attempt, last)
	if err != nil && ctx.Err() == nil && attempt.Err() != nil && !errors.Is(err, late) { // which package http returns
		err = fmt.Errorf("%s: %w", late, err)
	}
	return b, err
}

// lateError is why the context of an attempt that takes too long ends. It counts
// for whatever [context.DeadlineExceeded] does, and tells [bundle.Optional] that
// only the attempt is over.
type lateError struct{ limit time.Duration }

func (e *lateError) Error() string      { return fmt.Sprintf("no answer within %s", e.limit) }
func (*lateError) Timeout() bool        { return true }
func (*lateError) Is(target error) bool { return target == context.DeadlineExceeded }
func (*lateError) Unwrap() error        { return new(bundle.FetchError) }

// record takes note of what the layer's source answered: a bundle, or an error
// and no bundle. What tell says comes before what follows from the answer.
func (c *Client) record(l *layer, b *bundle.Bundle, err error, tell func()) {
	var withdrawn bool
	if kindOf(err) == bundle.FetchRevoked && !l.revoked {
		withdrawn = c.opts.OnRevoked == nil || !c.opts.OnRevoked(l.name, err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.news = append(c.news, tell)
	switch {
	case withdrawn:
		l.bundle = nil
	case err == nil && !b.Equal(l.bundle): // of equal bundles the older stays
		l.bundle = b
	}
	l.schedule = l.schedule.fetched(now, l.bundle, err, c.opts.Interval, rand.N)
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
		// New publishes when it has every layer; until then this is the only
		// sign of what it waits for.
		c.log(slog.LevelWarn, "first fetch failed", "layer", l.name, "error", err)
	}
}

// warnOfToken says once a day that a token has to be rotated: after it has ended
// the layer is revoked.
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
	c.log(slog.LevelWarn, "the token has to be rotated", args...)
}

// kindOf returns what err, which may be nil, means for the next fetch.
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
