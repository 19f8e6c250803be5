package satchel

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// Run keeps the bundle fresh until ctx ends; then it returns nil, after all
// that it started has ended. Only one Run of a client may be under way: another
// returns an error at once.
//
// Every layer is refreshed at its own times, each after the earliest of these:
//
//   - [Options.Interval];
//   - what the layer's bundle asks for with RefreshAfter, but at least 10
//     seconds;
//   - the margin before the first expiry in the bundle, a fifth of the
//     lifetime, and at least 5 minutes of a lifetime of more than 10. The
//     lifetime begins when the secret was rotated, or else created, or else
//     first seen with this expiry. Within the margin, half the time that is left.
//     Neither is sooner than 30 seconds after a refresh that brought no later
//     expiry, nor than 10 seconds after one that did.
//
// Each time is shifted by up to a tenth at random, a margin to the earlier side
// only. A [bundle.Waiter] is also waited on in between, which brings a change at
// once. The next wait follows after a second, or after a back-off as below if
// this one failed, or within 10 seconds brought no other secrets.
//
// A layer that cannot be fetched keeps its secrets, and is tried again after a
// time between 1 second and a limit that starts at 2 seconds and doubles with
// each failure up to 5 minutes; it is not waited on until a fetch succeeds. A
// layer with a permanent error is tried again after Interval, and one that was
// revoked after one, two, and from then on four times that, give or take a
// tenth. If the source says when to come back, the client does not come sooner,
// except that it never stays away for longer than Interval on that account.
//
// A secret leaves the bundle when it expires, whatever state its layer is in,
// and the bundle then has a Problem. If a lower layer has a secret of that name
// that has not expired, it takes its place.
func (c *Client) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("running the client: it is running already; start Run once")
	}
	defer c.running.Store(false)
	var group sync.WaitGroup
	for _, l := range c.layers {
		group.Go(func() { c.keep(ctx, l) })
	}
	c.watchClock(ctx)
	group.Wait()
	return nil
}

// keep refreshes one layer until ctx ends.
func (c *Client) keep(ctx context.Context, l *layer) {
	select {
	case l.turn <- struct{}{}: // free, or soon: a Refresh may have it
	case <-ctx.Done():
		return
	}
	defer func() { <-l.turn }()
	for ctx.Err() == nil {
		asked := c.idle(ctx, l)
		if asked == nil && time.Now().Before(l.next) {
			continue // the wait brought news, and moved the tick
		}
		if ctx.Err() == nil {
			err := c.fetch(ctx, l)
			if asked != nil && (err == nil || ctx.Err() == nil) {
				asked <- err
			}
		}
		if asked != nil {
			close(asked)
		}
	}
}

// idle returns when the layer is due, when its wait brought news, or when a
// Refresh asks for a fetch, which it returns the channel of. The wait has
// ended by then.
func (c *Client) idle(ctx context.Context, l *layer) (asked chan<- error) {
	ctx, stop := context.WithDeadline(ctx, l.next)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	if l.waiter != nil && l.attempts == 0 {
		group.Go(func() {
			c.wait(ctx, l)
			stop()
		})
	}
	select {
	case <-ctx.Done():
	case asked = <-l.ask:
	}
	return asked
}

// wait waits on the layer's source until that brings news, which it records, or
// ctx ends.
func (c *Client) wait(ctx context.Context, l *layer) {
	for pause(ctx, time.Until(l.waitFrom)) {
		start := time.Now()
		b, err := l.waiter.Wait(ctx, l.bundle)
		if err != nil && ctx.Err() != nil {
			return
		}
		now := time.Now()
		took := now.Sub(start)
		switch {
		case err == nil && (took >= longWait || !bundle.Compare(l.bundle, b).Empty()):
			l.fruitless = 0
		case took >= longWait:
			l.fruitless = 1
		default:
			l.fruitless++
		}
		l.waitFrom = now.Add(retryDelay(c.opts.Interval, l.fruitless, false, err))
		tell := func() { c.logCall("wait", l, took, b, err) }
		if kindOf(err) == bundle.FetchRevoked || err == nil && !b.Equal(l.bundle) {
			c.record(l, b, err, tell)
			c.announce()
			return
		}
		tell()
	}
}

// watchClock drops secrets that expire, and announces layers that do, until
// ctx ends.
func (c *Client) watchClock(ctx context.Context) {
	for ctx.Err() == nil {
		c.mu.Lock()
		now := time.Now()
		if !c.deadline.IsZero() && over(c.deadline, now) {
			c.settle(now)
		}
		var tick <-chan time.Time
		if !c.deadline.IsZero() {
			// A step of the wall clock, or a machine that slept, is noticed
			// within a minute.
			tick = time.After(min(c.deadline.Sub(now.Round(0)), time.Minute))
		}
		c.mu.Unlock()
		c.announce()
		select {
		case <-tick:
		case <-c.moved:
		case <-ctx.Done():
		}
	}
}
