package satchel

import (
	"errors"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

const (
	// maxInterval keeps sums of a few intervals far from the largest Duration.
	maxInterval = 365 * 24 * time.Hour

	// minTick is the least time between two refreshes that RefreshAfter or an
	// expiry can cause; minHope is that time after a refresh that brought no later
	// expiry.
	minTick = 10 * time.Second
	minHope = 30 * time.Second

	minBackoff = time.Second
	maxBackoff = time.Minute

	// patience is how long an error that needs a fix is retried with the back-off of
	// other errors: something between this machine and the source may cause it for a
	// while. After that, it is retried once per interval.
	patience = 15 * time.Minute

	// longWait is the least duration of a wait without a change after which the
	// next wait needs no back-off.
	longWait = 10 * time.Second
)

// schedule is the part of a layer's record that determines the next fetch and wait,
// and the layer's state. Its methods implement the rules in the comment of
// [Client.Run]. They are pure: they read no clock, and return the next schedule
// instead of changing this one.
type schedule struct {
	next      time.Time // when the next fetch is due
	refreshed time.Time // the last success, by the wall clock
	err       error     // of the last attempt; nil if that succeeded
	attempts  int       // failures since the last success
	revoked   bool      // one of these failures was a confirmed revocation
	// refused is the time since which each attempt has failed with the same kind of
	// error, if that is permanent or revoked. doubted is the time of the first
	// unconfirmed revocation since the last success. Both are otherwise zero.
	refused, doubted time.Time
	// expires is when the first secret of the layer's bundle expires, or zero; since
	// is when that secret's lifetime began.
	expires, since time.Time
	// fruitless counts the consecutive waits without a change; waitFrom is when the
	// next wait may begin.
	fruitless int
	waitFrom  time.Time
}

// draw returns a random duration in [0, limit). limit is positive. Outside of tests
// it is [math/rand/v2.N].
type draw func(limit time.Duration) time.Duration

// fetched returns the schedule after an attempt from start to now: a fetch, or a
// wait that counts as one. b is the layer's bundle after it, which is nil after a
// revocation that removed it.
func (s schedule) fetched(start, now time.Time, b *bundle.Bundle, err error, interval time.Duration, random draw) schedule {
	before := s.err
	s.err = err
	if err != nil {
		s.attempts++
		s.revoked = s.revoked || s.withdrawn(now, err)
		switch {
		case kindOf(err) == bundle.FetchUnavailable:
			s.refused = time.Time{}
		case s.refused.IsZero() || kindOf(err) != kindOf(before):
			s.refused = now
		}
		if confirmOf(err) > 0 && s.doubted.IsZero() {
			s.doubted = now
		}
		if b == nil {
			s.expires = time.Time{}
		}
		if s.attempts == 1 {
			s.fruitless, s.waitFrom = 0, time.Time{} // see waitable
		}
		slow := !s.refused.IsZero() && now.Sub(s.refused) >= patience && confirmOf(err) == 0
		s.next = retry(start, now, s.attempts, slow, err, interval, random)
		return s
	}
	if s.attempts > 0 {
		s.fruitless, s.waitFrom = 0, time.Time{}
	}
	s.refreshed, s.attempts, s.revoked = now.Round(0), 0, false
	s.refused, s.doubted = time.Time{}, time.Time{}
	expires, since := firstExpiry(b, now)
	extended := expires.After(s.expires)
	if !expires.Equal(s.expires) {
		s.expires, s.since = expires, since
	}
	if after := b.Meta().RefreshAfter; after > 0 {
		interval = min(interval, max(after, minTick))
	}
	tick := jitter(interval, random)
	if !s.expires.IsZero() {
		least := minHope
		if extended {
			least = minTick
		}
		tick = min(tick, renewal(s.expires.Sub(now.Round(0)), s.expires.Sub(s.since), least, random))
	}
	s.next = now.Add(tick)
	return s
}

// waited returns the schedule after a wait from start to now. changed means that
// the wait returned other secrets than the layer has.
func (s schedule) waited(start, now time.Time, changed bool, err error, interval time.Duration, random draw) schedule {
	long := now.Sub(start) >= longWait
	switch {
	case err == nil && (long || changed):
		s.fruitless = 0
		s.waitFrom = start.Add(minBackoff)
		return s
	case long:
		s.fruitless = 1
	default:
		s.fruitless++
	}
	s.waitFrom = retry(start, now, s.fruitless, false, err, interval, random)
	if kindOf(err) == bundle.FetchPermanent && s.attempts == 0 && s.fruitless == 1 {
		s.next = now
	}
	return s
}

// withdrawn reports whether an attempt that ends at now with err confirms that the
// source has withdrawn the secrets.
func (s schedule) withdrawn(now time.Time, err error) bool {
	if kindOf(err) != bundle.FetchRevoked {
		return false
	}
	confirm := confirmOf(err)
	return confirm <= 0 || !s.doubted.IsZero() && now.Sub(s.doubted) >= confirm
}

// confirmOf returns how long err must recur before it counts as a revocation.
func confirmOf(err error) time.Duration {
	if e, ok := errors.AsType[*bundle.FetchError](err); ok && e.Kind == bundle.FetchRevoked {
		return e.Confirm
	}
	return 0
}

// action is the next call of a layer's provider.
type action int

const (
	nothing action = iota
	fetch
	wait
)

// due returns the call to make at now. until is the end of a wait, or the time of
// the next call if there is nothing to do now. waiter means that the provider is a
// Waiter.
func (s schedule) due(now time.Time, waiter bool) (a action, until time.Time) {
	switch {
	case !now.Before(s.next):
		return fetch, time.Time{}
	case !waiter || !s.waitable():
		return nothing, s.next
	case !now.Before(s.waitFrom):
		return wait, s.next
	case s.waitFrom.Before(s.next):
		return nothing, s.waitFrom
	}
	return nothing, s.next
}

// waitable reports whether a wait may follow the last attempt: after a success, or
// once after a permanent error, to notice its fix.
func (s schedule) waitable() bool {
	return s.attempts == 0 || kindOf(s.err) == bundle.FetchPermanent && !s.revoked && s.fruitless == 0
}

// stateAt returns the layer's state at now.
func (s schedule) stateAt(now time.Time, maxStale time.Duration) State {
	switch {
	case s.revoked:
		return Revoked
	case over(s.refreshed.Add(maxStale), now):
		return Outdated
	case s.err != nil:
		return Stale
	}
	return Fresh
}

// renewal returns the time to the fetch that renews a secret with this much of its
// lifetime left. It is never less than least.
func renewal(left, lifetime, least time.Duration, random draw) time.Duration {
	if ahead := left - margin(lifetime); ahead >= least {
		// Only earlier: the margin is the latest time.
		return max(least, ahead-random(ahead/10))
	}
	return max(least, jitter(left/2, random))
}

// margin returns how long before its expiry a secret with that lifetime is renewed.
func margin(lifetime time.Duration) time.Duration {
	if lifetime > 10*time.Minute {
		return max(lifetime/5, 5*time.Minute)
	}
	return lifetime / 5
}

// firstExpiry returns the first expiry of the unexpired secrets, and when the
// lifetime of that secret began: when its value was set, or now if that is unknown.
// Both are zero if no secret expires.
func firstExpiry(b *bundle.Bundle, now time.Time) (expires, since time.Time) {
	now = now.Round(0) // dates use the wall clock
	var first bundle.Secret
	for s := range b.All() {
		if !s.Expires.IsZero() && !over(s.Expires, now) && (first.Expires.IsZero() || s.Expires.Before(first.Expires)) {
			first = s
		}
	}
	if first.Expires.IsZero() {
		return time.Time{}, time.Time{}
	}
	since = first.Rotated.Round(0)
	if since.IsZero() {
		since = first.Created.Round(0)
	}
	if since.IsZero() || since.After(now) {
		since = now
	}
	return first.Expires.Round(0), since
}

// retry returns when to try again after an attempt from start to now, the last of a
// number of consecutive failures. The back-off counts from the start, so that a call
// that hangs does not lengthen the time to the next one. A slow retry comes after
// the interval.
func retry(start, now time.Time, failures int, slow bool, err error, interval time.Duration, random draw) time.Time {
	var at time.Time
	if slow {
		at = now.Add(jitter(interval, random))
	} else {
		at = start.Add(backoff(failures, random))
	}
	at = later(at, now.Add(minBackoff))
	if e, ok := errors.AsType[*bundle.FetchError](err); ok && e.RetryAfter > 0 {
		// Only later, and spread: all clients may have got the same time.
		after := min(max(e.RetryAfter, minBackoff), max(interval, minBackoff))
		at = later(at, now.Add(after+random(after/10)))
	}
	return at
}

func later(x, y time.Time) time.Time {
	if x.After(y) {
		return x
	}
	return y
}

// backoff returns a random time between one second and a limit, which doubles with
// each failure up to a minute.
func backoff(failures int, random draw) time.Duration {
	ceiling := maxBackoff
	if failures < 6 { // 2^6 s is more than a minute
		ceiling = min(ceiling, minBackoff<<failures)
	}
	return minBackoff + random(ceiling-minBackoff+1)
}

// jitter returns d plus or minus up to a tenth, at random.
func jitter(d time.Duration, random draw) time.Duration {
	tenth := d / 10
	return d - tenth + random(2*tenth+1)
}
