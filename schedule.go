package satchel

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

const (
	// maxInterval keeps sums of a few intervals far from the largest Duration.
	maxInterval = 365 * 24 * time.Hour

	// minTick is the least time between two refreshes, whatever a bundle says
	// about its time; minHope is that after a refresh that did not help.
	minTick = 10 * time.Second
	minHope = 30 * time.Second

	minBackoff = time.Second
	maxBackoff = 5 * time.Minute

	// longWait is how long a wait that brings nothing must take so that the
	// next one may follow it: otherwise waiting backs off.
	longWait = 10 * time.Second
)

// cadence returns the time from a success at now to the next fetch. later says
// that the success brought a later first expiry.
func (l *layer) cadence(interval time.Duration, now time.Time, later bool) time.Duration {
	if after := l.bundle.Meta().RefreshAfter; after > 0 {
		interval = min(interval, max(after, minTick))
	}
	tick := jitter(interval)
	if l.expires.IsZero() {
		return tick
	}
	least := minHope
	if later {
		least = minTick
	}
	left := l.expires.Sub(now.Round(0))
	ahead := left - margin(l.expires.Sub(l.since))
	if ahead >= least {
		// Only earlier: the margin is the last moment.
		return min(tick, max(least, ahead-rand.N(ahead/10)))
	}
	return min(tick, max(least, jitter(left/2)))
}

// margin returns how long before its end a secret of that lifetime is renewed.
func margin(lifetime time.Duration) time.Duration {
	if lifetime > 10*time.Minute {
		return max(lifetime/5, 5*time.Minute)
	}
	return lifetime / 5
}

// firstExpiry returns when the first of the secrets that have not expired does,
// and when its lifetime began: when its value was set, or now if nothing says.
// Both are zero if none expires.
func firstExpiry(b *bundle.Bundle, now time.Time) (expires, since time.Time) {
	now = now.Round(0) // dates are by the wall clock
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

// retryDelay returns the time from the latest of attempts failures in a row to
// the next attempt.
func retryDelay(interval time.Duration, attempts int, revoked bool, err error) time.Duration {
	var d time.Duration
	switch {
	case revoked:
		d = jitter(interval << min(attempts-1, 2))
	case kindOf(err) == bundle.FetchPermanent:
		d = jitter(interval)
	default:
		d = backoff(attempts)
	}
	d = max(d, minBackoff)
	if e, ok := errors.AsType[*bundle.FetchError](err); ok && e.RetryAfter > 0 {
		// Spread, and never sooner than asked: everybody was told the same.
		after := min(max(e.RetryAfter, minBackoff), max(interval, minBackoff))
		d = max(d, after+rand.N(after/10))
	}
	return d
}

// backoff returns a random time of at least a second, and at most as many as
// doubling for each failure gives, up to five minutes.
func backoff(failures int) time.Duration {
	ceiling := maxBackoff
	if failures < 9 { // 2^9 s is more than five minutes
		ceiling = min(ceiling, minBackoff<<failures)
	}
	return minBackoff + rand.N(ceiling-minBackoff+1)
}

// jitter returns d give or take a random tenth.
func jitter(d time.Duration) time.Duration {
	tenth := d / 10
	return d - tenth + rand.N(2*tenth+1)
}
