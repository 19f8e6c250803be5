package satchel

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// derivation is the part of a Derived that does not depend on its type.
type derivation struct {
	client *Client
	name   string // for people
	build  func(*bundle.Bundle) (any, error)
	names  []string
	// moved wakes tend.
	moved chan struct{}

	// mu guards the fields below. It is not held while the program's functions run.
	// Lock order: mu before Client.mu.
	mu      sync.Mutex
	value   *built // the last good one, or nil
	retired []*built
	work    *work // the call of build under way, or nil
	// failed is the bundle with which the last call of build failed. err is its
	// error and failures the number of consecutive failures. failed is nil if that
	// call succeeded.
	failed   *bundle.Bundle
	err      error
	failures int
	next     time.Time // of the next attempt with the same secrets
}

// built is one value. derivation.mu guards it.
type built struct {
	value  any
	closer io.Closer      // nil if value is not a closer
	from   *bundle.Bundle // has the secrets that value was built from
	uses   int
	// retired is set while another value is current. A retired value may be closed
	// at due, or, if Run has ended (orphaned), by its last Use.
	retired, orphaned bool
	due               time.Time
}

// work is one call of build, which other callers may wait for. Package shared does
// not fit: build runs in the goroutine of its caller, which gets its panic, and work
// ends under the derivation's lock.
type work struct {
	from *bundle.Bundle
	done chan struct{} // closed when err is set
	err  error
}

var errUnfinished = errors.New("build did not return")

// hold returns the value for the current bundle and adds uses to its count. If
// necessary, it builds the value first.
func (d *derivation) hold(uses int) (any, *built, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		b := d.client.Bundle()
		if d.keepsLastGood(b) || !d.stale(b) {
			d.value.uses += uses
			return d.value.value, d.value, nil
		}
		w := d.work
		if w == nil {
			w = d.construct(b)
		} else {
			d.mu.Unlock()
			<-w.done
			d.mu.Lock()
		}
		if w.err != nil && d.value == nil && w.from == d.client.Bundle() {
			return nil, nil, w.err
		}
	}
}

// stale reports whether the value was built from other secrets than those of b, or
// does not exist. The caller holds mu.
func (d *derivation) stale(b *bundle.Bundle) bool {
	if d.value == nil || d.differ(d.value.from, b) {
		return true
	}
	d.value.from = b // speeds up the next comparison
	d.failed, d.err, d.failures = nil, nil, 0
	return false
}

// keepsLastGood reports whether a stale value stays in use because building from
// the secrets of b has failed: until the next attempt is due, during that attempt,
// and always if Run makes the attempts. The caller holds mu.
func (d *derivation) keepsLastGood(b *bundle.Bundle) bool {
	if d.value == nil || d.failed == nil || d.differ(d.failed, b) {
		return false
	}
	d.failed = b
	return d.work != nil || time.Now().Before(d.next) || d.client.running.Load()
}

// differ reports whether build would see a difference between two bundles.
func (d *derivation) differ(old, new *bundle.Bundle) bool {
	return old != new && bundle.Compare(old, new).Touches(d.names...)
}

// construct calls build with b. The caller holds mu, which construct releases
// during the call, and no other call is under way.
func (d *derivation) construct(b *bundle.Bundle) *work {
	w := &work{from: b, done: make(chan struct{}), err: errUnfinished}
	d.work = w
	d.mu.Unlock()
	var value any
	defer func() { // even if build panics
		d.mu.Lock()
		d.work = nil
		d.take(value, w)
		close(w.done)
		d.mu.Unlock()
		d.poke()
		d.client.announce()
		d.mu.Lock()
	}()
	value, w.err = d.build(b)
	return w
}

// take records the result of build. The caller holds mu.
func (d *derivation) take(value any, w *work) {
	if w.err == nil {
		if d.failed != nil {
			d.log(slog.LevelInfo, "building a derived value succeeded again")
		}
		d.failed, d.err, d.failures = nil, nil, 0
		d.replace(value, w.from)
		return
	}
	if d.value == nil {
		return // the caller gets the error
	}
	d.failures++
	d.failed, d.err = w.from, masked(w.err, w.from)
	d.next = time.Now().Add(backoff(d.failures, rand.N))
	if d.failures == 1 {
		d.log(slog.LevelWarn, "building a derived value failed; keeping the last good one", "error", d.err)
	}
}

// replace makes value the current one, and retires the previous one. The caller
// holds mu.
func (d *derivation) replace(value any, from *bundle.Bundle) {
	closer := closerOf(value)
	known := append([]*built{d.value}, d.retired...)
	v := &built{}
	// An earlier value that build returns again must stay open.
	if i := slices.IndexFunc(known, func(v *built) bool { return v != nil && same(v.closer, closer) }); i >= 0 {
		v = known[i]
	}
	old := d.value
	d.value = v
	v.value, v.closer, v.from, v.retired, v.orphaned = value, closer, from, false, false
	d.retired = slices.DeleteFunc(d.retired, func(r *built) bool { return r == v })
	if old != nil && old != v && old.closer != nil {
		old.retired, old.due = true, time.Now().Add(d.client.opts.Grace)
		d.retired = append(d.retired, old)
	}
}

// release ends a use.
func (d *derivation) release(v *built) {
	d.mu.Lock()
	v.uses--
	unused := v.retired && v.uses == 0
	ours := unused && v.orphaned
	if ours {
		d.retired = slices.DeleteFunc(d.retired, func(r *built) bool { return r == v })
	}
	d.mu.Unlock()
	switch {
	case ours:
		d.close(v)
	case unused:
		d.poke()
	}
}

// tend keeps one derived value up to date until ctx ends.
func (c *Client) tend(ctx context.Context, d *derivation) {
	for ctx.Err() == nil {
		replaced := c.replacement()
		d.renew()
		d.closeUnused(time.Now())
		var tick <-chan time.Time
		if next := d.nextDue(); !next.IsZero() {
			tick = time.After(time.Until(next))
		}
		select {
		case <-replaced:
		case <-d.moved:
		case <-tick:
		case <-ctx.Done():
		}
	}
	d.orphan()
}

// renew rebuilds the value if that is due. It leaves the first build to Get.
func (d *derivation) renew() {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.client.Bundle()
	if d.value == nil || d.work != nil || !d.stale(b) {
		return
	}
	if d.failed == nil || d.differ(d.failed, b) || !time.Now().Before(d.next) {
		d.construct(b)
	}
}

// closeUnused closes the retired values that are due at now and not in use.
func (d *derivation) closeUnused(now time.Time) {
	d.mu.Lock()
	var unused []*built
	d.retired = slices.DeleteFunc(d.retired, func(v *built) bool {
		if v.uses > 0 || now.Before(v.due) {
			return false
		}
		unused = append(unused, v)
		return true
	})
	d.mu.Unlock()
	for _, v := range unused {
		d.close(v)
	}
}

// nextDue returns when tend must act next, or zero if a poke comes first.
func (d *derivation) nextDue() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	var next time.Time
	if d.failed != nil && d.work == nil {
		next = d.next
	}
	for _, v := range d.retired {
		if v.uses == 0 && (next.IsZero() || v.due.Before(next)) {
			next = v.due
		}
	}
	return next
}

// orphan closes the retired values that are not in use, and leaves the others to
// their last Use.
func (d *derivation) orphan() {
	d.mu.Lock()
	now := time.Now()
	for _, v := range d.retired {
		v.due, v.orphaned = now, true
	}
	d.mu.Unlock()
	d.closeUnused(now)
}

// close closes a value that was removed from retired.
func (d *derivation) close(v *built) {
	if err := v.closer.Close(); err != nil {
		d.log(slog.LevelWarn, "closing a replaced derived value failed", "error", masked(err, v.from))
		d.client.announce()
	}
}

func (d *derivation) log(level slog.Level, msg string, args ...any) {
	d.client.mu.Lock()
	defer d.client.mu.Unlock()
	d.client.log(level, msg, append([]any{"derived", d.name}, args...)...)
}

// poke wakes tend.
func (d *derivation) poke() {
	select {
	case d.moved <- struct{}{}:
	default:
	}
}

func (d *derivation) status() DerivedStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := DerivedStatus{Name: d.name, LastError: d.err, Attempts: d.failures}
	if d.failed != nil {
		s.NextAttempt = d.next
	}
	return s
}

// closerOf returns value as a closer, or nil if it is not a closer or a nil pointer.
func closerOf(value any) io.Closer {
	closer, ok := value.(io.Closer)
	if v := reflect.ValueOf(value); !ok || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	return closer
}

// same reports whether two closers, which may be nil, are the same one.
func same(a, b io.Closer) bool {
	return a != nil && b != nil && reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}
