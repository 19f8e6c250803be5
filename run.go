package satchel

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// Run keeps the bundle fresh until ctx is done. It then returns nil, after
// everything that it started has ended. Only one Run of a client may be active:
// another call returns an error immediately.
//
// Every layer has its own schedule. The next refresh is due after the shortest of
// these times:
//
//   - [Options.Interval];
//   - RefreshAfter of the layer's bundle, but at least 10 seconds;
//   - the time to the margin before the first expiry in that bundle. The margin is
//     a fifth of the secret's lifetime, and at least 5 minutes if the lifetime is
//     longer than 10. The lifetime begins when the secret was rotated, or else
//     created, or else first seen with this expiry. Within the margin, the time is
//     half of the time left. In both cases it is at least 30 seconds after a
//     refresh that brought no later expiry, and at least 10 seconds after one that
//     did.
//
// Each time is shifted at random by up to a tenth; the time to a margin is only
// shortened. Between refreshes, Run also waits on a layer that is a
// [bundle.Waiter], which delivers a change immediately. A wait begins at least a
// second after the start of the previous one. If the previous one failed, or
// returned the same secrets within 10 seconds, it begins after a back-off as below.
//
// A layer that is unavailable keeps its secrets. Run retries it after a random
// back-off between 1 second and a limit, which starts at 2 seconds and doubles with
// each failure up to a minute. The back-off counts from the start of the failed
// fetch; at least a second passes after its end. A fault that has ended is thus
// noticed within a minute. Run does not wait on the layer until a fetch succeeds. It
// retries a permanent error and a revoked layer in the same way for 15 minutes, and
// from then on after Interval, shifted at random by up to a tenth. Run honors the
// source's RetryAfter as the minimum, capped at Interval.
//
// A revoked layer loses its secrets immediately, unless [bundle.FetchError.Confirm]
// is set: the layer then keeps them, and is stale, until a fetch fails in this way
// after that time. Such a layer is always retried with the back-off.
//
// Run notices the fix of a permanent error sooner in a layer that it can wait on.
// A wait that ends with a permanent error brings the next fetch forward, once. A
// fetch that ends with one is followed by a wait; if the wait succeeds, the failure
// is over; if it fails too, no wait follows until a fetch succeeds.
//
// A secret leaves the bundle when it expires, in any state of its layer. An
// unexpired secret of that name in a lower layer takes its place. The bundle then
// also has a [bundle.Problem] for the expired secret.
//
// Run also keeps the values of [Derive] up to date, and closes replaced ones.
func (c *Client) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("running the client: already running; call Run once")
	}
	defer c.running.Store(false)
	r := run{Client: c}
	defer r.group.Wait()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	// At least once, even if ctx is done: replaced values of Derive are closed.
	for {
		timer.Reset(r.step(ctx))
		select {
		case <-timer.C:
		case <-c.moved:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// run is one call of Run. While idle, it has its own goroutine, one for each layer
// that it waits on, and one for each derived value: a process may have thousands
// of clients.
type run struct {
	*Client
	group sync.WaitGroup
	// tended counts the derived values that have a goroutine.
	tended int
}

// step starts all calls that are due, and returns the time until the next one
// unless Run is poked earlier.
func (r *run) step(ctx context.Context) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.deadline.IsZero() && over(r.deadline, now) {
		r.settle(now)
		r.group.Go(r.announce)
	}
	// Notices a step of the wall clock, or a machine that slept, within a minute.
	sleep := time.Minute
	if !r.deadline.IsZero() {
		sleep = min(sleep, r.deadline.Sub(now.Round(0)))
	}
	for _, l := range r.layers {
		if at := r.visit(ctx, l, now); !at.IsZero() {
			sleep = min(sleep, at.Sub(now))
		}
	}
	for ; r.tended < len(r.derived); r.tended++ {
		d := r.derived[r.tended]
		r.group.Go(func() { r.tend(ctx, d) })
	}
	return sleep
}

// visit starts the layer's fetch if it is due, or else its wait. If it is too early
// for both, visit returns the time of the next one. It returns zero if the layer's
// turn is taken or wanted: its holder pokes Run at the end. The caller holds mu.
func (r *run) visit(ctx context.Context, l *layer, now time.Time) time.Time {
	what, until := l.due(now, l.waiter != nil)
	if what == nothing {
		return until
	}
	if l.wanted > 0 || !l.take() {
		return time.Time{}
	}
	if what == fetch {
		r.group.Go(func() {
			defer r.giveBack(l)
			_ = r.fetch(ctx, l) // the record has the error
		})
		return time.Time{}
	}
	ctx, l.stop = context.WithDeadline(ctx, until)
	r.group.Go(func() {
		defer r.giveBack(l)
		r.wait(ctx, l)
	})
	return time.Time{}
}

// wait waits on the layer's source once. The caller has the turn. It has a small
// stack frame, as do its callers: the stack stays for the time of the wait.
func (c *Client) wait(ctx context.Context, l *layer) {
	start := time.Now()
	b, err := l.waiter.Wait(ctx, l.bundle)
	if err == nil || ctx.Err() == nil {
		c.recordWait(l, start, b, err)
	}
}

// recordWait records the result of a wait that began at start.
func (c *Client) recordWait(l *layer, start time.Time, b *bundle.Bundle, err error) {
	now := time.Now()
	changed := err == nil && !bundle.Compare(l.bundle, b).Empty()
	c.mu.Lock()
	l.schedule = l.schedule.waited(start, now, changed, err, c.opts.Interval, rand.N)
	c.mu.Unlock()
	tell := func() { c.logCall("wait", l, now.Sub(start), b, err) }
	if kindOf(err) == bundle.FetchRevoked || err == nil && (l.err != nil || !b.Equal(l.bundle)) {
		c.record(l, now, b, err, tell)
		c.announce()
		return
	}
	tell()
}

// poke makes Run look for due calls.
func (c *Client) poke() {
	select {
	case c.moved <- struct{}{}:
	default:
	}
}
