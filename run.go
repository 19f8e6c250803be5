package satchel

import (
	"context"
	"errors"
	"math/rand/v2"
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
// once. The next wait begins at least a second after this one did, or after a
// back-off as below if this one failed, or within 10 seconds brought no other
// secrets.
//
// A layer that cannot be fetched keeps its secrets, and is tried again after a
// time between 1 second and a limit that starts at 2 seconds and doubles with
// each failure up to 5 minutes; it is not waited on until a fetch succeeds. A
// layer with a permanent error is tried again after Interval, and one that was
// revoked after one, two, and from then on four times that, give or take a
// tenth. If the source says when to come back, the client does not come sooner,
// except that it never stays away for longer than Interval on that account.
//
// What somebody has to mend is noticed sooner in a layer that can be waited on.
// A wait that ends with a permanent error brings the next fetch forward, once. A
// fetch that ends with one is followed by a wait, whose success ends the
// failure; if that wait fails too, none follows until a fetch succeeds.
//
// A secret leaves the bundle when it expires, whatever state its layer is in,
// and the bundle then has a Problem. If a lower layer has a secret of that name
// that has not expired, it takes its place.
//
// Run also keeps the values of [Derive] up to date, and closes those that it
// has replaced.
func (c *Client) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("running the client: it is running already; start Run once")
	}
	defer c.running.Store(false)
	r := run{Client: c}
	defer r.group.Wait()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	// At least once, even if ctx is over: what Derive has replaced is closed.
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

// run is one call of Run. While nothing happens it has no goroutine but its own,
// one for each layer that is waited on, and one for each derived value: a
// process may have thousands of clients.
type run struct {
	*Client
	group sync.WaitGroup
	// tended counts the derived values that have their goroutine.
	tended int
}

// step starts what is due, and returns how long nothing else will be unless
// something moves.
func (r *run) step(ctx context.Context) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.deadline.IsZero() && over(r.deadline, now) {
		r.settle(now)
		r.group.Go(r.announce)
	}
	// A step of the wall clock, or a machine that slept, is noticed within a
	// minute.
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

// visit starts the fetch of a layer that is due, or else the wait. If it is too
// early for either it returns when it no longer is. It returns zero if the
// layer's turn is taken or wanted: whoever has it pokes Run in the end. The
// caller holds mu.
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
			_ = r.fetch(ctx, l) // it is in the record
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

// wait waits on the layer's source once. The caller has the turn. It is small, as
// is all that is on the stack while a layer is waited on.
func (c *Client) wait(ctx context.Context, l *layer) {
	start := time.Now()
	b, err := l.waiter.Wait(ctx, l.bundle)
	if err == nil || ctx.Err() == nil {
		c.recordWait(l, start, b, err)
	}
}

// recordWait records what a wait that began at start brought.
func (c *Client) recordWait(l *layer, start time.Time, b *bundle.Bundle, err error) {
	now := time.Now()
	changed := err == nil && !bundle.Compare(l.bundle, b).Empty()
	c.mu.Lock()
	l.schedule = l.schedule.waited(start, now, changed, err, c.opts.Interval, rand.N)
	c.mu.Unlock()
	tell := func() { c.logCall("wait", l, now.Sub(start), b, err) }
	if kindOf(err) == bundle.FetchRevoked || err == nil && (l.err != nil || !b.Equal(l.bundle)) {
		c.record(l, b, err, tell)
		c.announce()
		return
	}
	tell()
}

// poke makes Run look what there is to do.
func (c *Client) poke() {
	select {
	case c.moved <- struct{}{}:
	default:
	}
}
