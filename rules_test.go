package satchel

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// The tests in this file check each rule in the comment of Client.Run, without a
// client and without sleeping, at both ends of the random ranges.

var (
	ruleTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

	errRuleDown      = errors.New("connection refused")
	errRulePermanent = &bundle.FetchError{Kind: bundle.FetchPermanent, Err: errRuleDown}
	errRuleRevoked   = &bundle.FetchError{Kind: bundle.FetchRevoked, Err: errRuleDown}
)

// requireBounds calls f with every combination of the least and the greatest
// draws, and checks the shortest and the longest result.
func requireBounds(t *testing.T, shortest, longest time.Duration, f func(draw) time.Duration) {
	t.Helper()
	const most = 2 // draws in one rule
	var results []time.Duration
	for high := range 1 << most {
		draws := 0
		results = append(results, f(func(limit time.Duration) time.Duration {
			require.Positive(t, limit, "rand.N panics otherwise")
			require.Less(t, draws, most)
			bit := high >> draws & 1
			draws++
			return time.Duration(bit) * (limit - 1)
		}))
	}
	low, high := results[0], results[0]
	for _, d := range results {
		low, high = min(low, d), max(high, d)
	}
	require.Equal(t, shortest, low, "shortest: want %s, got %s", shortest, low)
	require.Equal(t, longest, high, "longest: want %s, got %s", longest, high)
}

// ruleSecret returns a secret with dates relative to ruleTime. Zero means an unknown
// date.
func ruleSecret(name string, expires, rotated, created time.Duration) bundle.Secret {
	date := func(d time.Duration) time.Time {
		if d == 0 {
			return time.Time{}
		}
		return ruleTime.Add(d)
	}
	return bundle.Secret{Name: name, Value: bundle.NewValue("x"), Expires: date(expires), Rotated: date(rotated), Created: date(created)}
}

func ruleBundle(t *testing.T, refreshAfter time.Duration, secrets ...bundle.Secret) *bundle.Bundle {
	t.Helper()
	b, err := bundle.New(secrets, &bundle.Meta{RefreshAfter: refreshAfter})
	require.NoError(t, err)
	return b
}

func TestSchedule_Success(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	known := func(expires, since time.Duration) schedule {
		return schedule{expires: ruleTime.Add(expires), since: ruleTime.Add(since)}
	}
	for _, row := range []struct {
		rule              string
		before            schedule
		refreshAfter      time.Duration
		secrets           []bundle.Secret
		interval          time.Duration
		shortest, longest time.Duration
	}{
		{"the interval, plus or minus a tenth", schedule{}, 0, nil, 15 * m, 810 * s, 990 * s},
		{"the longest interval", schedule{}, 0, nil, maxInterval, maxInterval / 10 * 9, maxInterval / 10 * 11},
		{"the shortest interval", schedule{}, 0, nil, 1, 1, 1},
		{"RefreshAfter that is sooner", schedule{}, 2 * m, nil, 15 * m, 108 * s, 132 * s},
		{"RefreshAfter that is later", schedule{}, 24 * h, nil, 15 * m, 810 * s, 990 * s},
		{"RefreshAfter is at least 10 seconds", schedule{}, 1, nil, 15 * m, 9 * s, 11 * s},
		{"RefreshAfter that is negative", schedule{}, -h, nil, 15 * m, 810 * s, 990 * s},

		{"a fifth of a lifetime up to 10 minutes", schedule{}, 0, []bundle.Secret{ruleSecret("A", 10*m, 0, 0)}, 15 * m, 432*s + 1, 8 * m},
		{"5 minutes of a longer lifetime", schedule{}, 0, []bundle.Secret{ruleSecret("A", 11*m, 0, 0)}, 15 * m, 324*s + 1, 6 * m},
		{"a fifth of a lifetime if that is more than 5 minutes", schedule{}, 0, []bundle.Secret{ruleSecret("A", h, 0, 0)}, 10 * h, 2592*s + 1, 48 * m},
		{"an interval that ends before the margin", schedule{}, 0, []bundle.Secret{ruleSecret("A", 24*h, 0, 0)}, 15 * m, 810 * s, 990 * s},
		{"RefreshAfter that ends before the margin", schedule{}, m, []bundle.Secret{ruleSecret("A", h, 0, 0)}, 15 * m, 54 * s, 66 * s},
		{"an interval that may end on either side of the margin", schedule{}, 0, []bundle.Secret{ruleSecret("A", 20*m, 0, 0)}, 15 * m, 810 * s, 15 * m},
		{"the first expiry of several", schedule{}, 0, []bundle.Secret{ruleSecret("A", 24*h, 0, 0), ruleSecret("B", 10*m, 0, 0), ruleSecret("C", h, 0, 0)}, 15 * m, 432*s + 1, 8 * m},
		{"an expiry that has passed has no margin", schedule{}, 0, []bundle.Secret{ruleSecret("A", -1, 0, 0)}, 15 * m, 810 * s, 990 * s},
		{"an expiry that has passed is not the first", schedule{}, 0, []bundle.Secret{ruleSecret("A", -h, 0, 0), ruleSecret("B", 10*m, 0, 0)}, 15 * m, 432*s + 1, 8 * m},

		{"a lifetime that began at the rotation", schedule{}, 0, []bundle.Secret{ruleSecret("A", 40*m, -60*m, -1000*m)}, h, 18*m + 1, 20 * m},
		{"a lifetime that began at the creation", schedule{}, 0, []bundle.Secret{ruleSecret("A", 40*m, 0, -60*m)}, h, 18*m + 1, 20 * m},
		{"a lifetime that began now because the rotation is in the future", schedule{}, 0, []bundle.Secret{ruleSecret("A", 40*m, 39*m, -1000*m)}, h, 1728*s + 1, 32 * m},
		{"a lifetime that began when this expiry was first seen", known(40*m, -60*m), 0, []bundle.Secret{ruleSecret("A", 40*m, 0, 0)}, h, 18*m + 1, 20 * m},
		{"a lifetime that began now because the expiry has changed", known(39*m, -60*m), 0, []bundle.Secret{ruleSecret("A", 40*m, 0, 0)}, h, 1728*s + 1, 32 * m},

		{"half the time left within the margin", known(4*m, -h), 0, []bundle.Secret{ruleSecret("A", 4*m, 0, 0)}, 15 * m, 108 * s, 132 * s},
		{"half the time left if the margin begins within 30 seconds", known(100*s, -251*s), 0, []bundle.Secret{ruleSecret("A", 100*s, 0, 0)}, 15 * m, 45 * s, 55 * s},
		{"a margin of at least 30 seconds after the same expiry", known(100*s, -250*s), 0, []bundle.Secret{ruleSecret("A", 100*s, 0, 0)}, 15 * m, 30 * s, 30 * s},
		{"half of at least 30 seconds after the same expiry", known(20*s, -h), 0, []bundle.Secret{ruleSecret("A", 20*s, 0, 0)}, 15 * m, 30 * s, 30 * s},
		{"half of at least 30 seconds after an earlier expiry", known(21*s, -h), 0, []bundle.Secret{ruleSecret("A", 20*s, 0, 0)}, 15 * m, 30 * s, 30 * s},
		{"half of at least 10 seconds after a later expiry", known(9*s, -h), 0, []bundle.Secret{ruleSecret("A", 10*s, 0, 0)}, 15 * m, 10 * s, 10 * s},
		{"half of at least 10 seconds after the first expiry", schedule{}, 0, []bundle.Secret{ruleSecret("A", 1, 0, 0)}, 15 * m, 10 * s, 10 * s},
		{"a margin of at least 10 seconds after a later expiry", known(m, -h), 0, []bundle.Secret{ruleSecret("A", 75*s, -50*s, 0)}, 15 * m, 45*s + 1, 50 * s},
		{"an interval shorter than 10 seconds", known(20*s, -h), 0, []bundle.Secret{ruleSecret("A", 20*s, 0, 0)}, s, 900 * time.Millisecond, 1100 * time.Millisecond},
	} {
		t.Run(row.rule, func(t *testing.T) {
			b := ruleBundle(t, row.refreshAfter, row.secrets...)
			requireBounds(t, row.shortest, row.longest, func(random draw) time.Duration {
				return row.before.fetched(ruleTime, ruleTime, b, nil, row.interval, random).next.Sub(ruleTime)
			})
		})
	}
}

func TestSchedule_Failure(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	after := func(kind bundle.FetchKind, d time.Duration) error {
		return &bundle.FetchError{Kind: kind, RetryAfter: d, Err: errRuleDown}
	}
	for _, row := range []struct {
		rule              string
		attempts          int           // before this one
		refused           time.Duration // since when, if not zero
		err               error
		interval          time.Duration
		shortest, longest time.Duration
	}{
		{"from 1 to 2 seconds after the first failure", 0, 0, errRuleDown, 15 * m, s, 2 * s},
		{"up to twice as long after the second", 1, 0, errRuleDown, 15 * m, s, 4 * s},
		{"and so on", 4, 0, errRuleDown, 15 * m, s, 32 * s},
		{"up to a minute", 5, 0, errRuleDown, 15 * m, s, m},
		{"up to a minute after any number of failures", 1e6, 0, errRuleDown, 15 * m, s, m},
		{"an unknown kind counts as unavailable", 0, 0, after(99, 0), 15 * m, s, 2 * s},
		{"the interval does not limit the back-off", 20, 0, errRuleDown, s, s, m},
		{"the back-off after 15 minutes of another kind", 40, 15 * m, errRuleDown, 15 * m, s, m},

		{"a permanent error: the same", 0, 0, errRulePermanent, 15 * m, s, 2 * s},
		{"a permanent error: the same for 15 minutes", 40, 15*m - 1, errRulePermanent, 15 * m, s, m},
		{"a permanent error: then the interval", 1, 15 * m, errRulePermanent, 15 * m, 810 * s, 990 * s},
		{"a permanent error: never less than a second", 1, h, errRulePermanent, time.Millisecond, s, s},

		{"revoked: the same", 0, 0, errRuleRevoked, 15 * m, s, 2 * s},
		{"revoked: the same for 15 minutes", 40, 15*m - 1, errRuleRevoked, 15 * m, s, m},
		{"revoked: then the interval", 1, 15 * m, errRuleRevoked, 15 * m, 810 * s, 990 * s},
		{"revoked: never less than a second", 1, h, errRuleRevoked, time.Millisecond, s, s},
		{"revoked: the longest interval", 1, h, errRuleRevoked, maxInterval, maxInterval / 10 * 9, maxInterval / 10 * 11},
		{"revoked, to be confirmed: the back-off", 1e6, 24 * h, &bundle.FetchError{Kind: bundle.FetchRevoked, Confirm: m}, 15 * m, s, m},

		{"RetryAfter: not sooner", 0, 0, after(bundle.FetchUnavailable, 10*m), 15 * m, 10 * m, 11*m - 1},
		{"RetryAfter: not longer than the interval", 0, 0, after(bundle.FetchUnavailable, 365*24*h), 15 * m, 15 * m, 990*s - 1},
		{"RetryAfter: does not shorten the back-off", 4, 0, after(bundle.FetchUnavailable, 1), 15 * m, s, 32 * s},
		{"RetryAfter: a negative time is ignored", 0, 0, after(bundle.FetchUnavailable, -h), 15 * m, s, 2 * s},
		{"RetryAfter: of a permanent error", 0, 0, after(bundle.FetchPermanent, 15*m), 15 * m, 15 * m, 990*s - 1},
		{"RetryAfter: does not shorten the time of a permanent error", 0, h, after(bundle.FetchPermanent, 1), 15 * m, 810 * s, 990 * s},
		{"RetryAfter: does not shorten the time of a revocation", 2, h, after(bundle.FetchRevoked, m), 15 * m, 810 * s, 990 * s},
		{"RetryAfter: longer than an interval under a second", 0, 0, after(bundle.FetchPermanent, h), time.Millisecond, s, 2 * s},
	} {
		t.Run(row.rule, func(t *testing.T) {
			before := schedule{attempts: row.attempts}
			if row.refused != 0 {
				before.err = row.err
				before.refused = ruleTime.Add(-row.refused)
			}
			requireBounds(t, row.shortest, row.longest, func(random draw) time.Duration {
				return before.fetched(ruleTime, ruleTime, nil, row.err, row.interval, random).next.Sub(ruleTime)
			})
		})
	}

	t.Run("an attempt that took long shortens the back-off", func(t *testing.T) {
		before := schedule{attempts: 40}
		for _, row := range []struct{ took, shortest, longest time.Duration }{
			{30 * s, s, 30 * s},
			{h, s, s},
		} {
			requireBounds(t, row.shortest, row.longest, func(random draw) time.Duration {
				return before.fetched(ruleTime.Add(-row.took), ruleTime, nil, errRuleDown, 15*m, random).next.Sub(ruleTime)
			})
		}
	})
}

func TestSchedule_Confirm(t *testing.T) {
	const m = time.Minute
	unsure := &bundle.FetchError{Kind: bundle.FetchRevoked, Confirm: 10 * m}
	at := func(s schedule, after time.Duration, err error) schedule {
		now := ruleTime.Add(after)
		return s.fetched(now, now, nil, err, 15*m, least)
	}
	s := at(schedule{}, 0, unsure)
	require.False(t, s.revoked, "the first answer is not confirmed")
	s = at(s, 5*m, unsure)
	require.False(t, s.revoked)
	s = at(s, 9*m, errRuleDown)
	require.False(t, s.revoked)
	require.True(t, at(s, 10*m, unsure).revoked, "the answer is the same after Confirm, apart from errors that say nothing")
	require.False(t, at(s, time.Hour, errRuleDown).revoked, "only an answer confirms")
	require.True(t, at(s, 9*m, errRuleRevoked).revoked, "a certain answer needs no confirmation")

	s = at(s, 9*m, nil)
	require.False(t, at(s, 10*m, unsure).revoked, "a success starts over")
}

// least draws the shortest jitter and back-off.
func least(time.Duration) time.Duration { return 0 }

func TestSchedule_Attempt(t *testing.T) {
	const m = time.Minute
	at := func(d time.Duration) time.Time { return ruleTime.Add(d) }
	b := ruleBundle(t, 0, ruleSecret("A", 24*time.Hour, 0, 0))
	var (
		good  = schedule{refreshed: at(-m), expires: at(time.Hour), since: at(-m), fruitless: 3, waitFrom: at(m)}
		bad   = schedule{refreshed: at(-m), expires: at(time.Hour), since: at(-m), fruitless: 3, waitFrom: at(m), err: errRuleDown, attempts: 4, revoked: true}
		fresh = schedule{refreshed: ruleTime, expires: at(24 * time.Hour), since: ruleTime, waitFrom: at(m)}
	)
	change := func(s schedule, f func(*schedule)) schedule {
		f(&s)
		return s
	}
	for _, row := range []struct {
		rule   string
		before schedule
		b      *bundle.Bundle
		err    error
		want   schedule // apart from next
	}{
		{"a success keeps the back-off of waiting", good, b, nil, change(fresh, func(s *schedule) { s.fruitless = 3 })},
		{"a success ends failures, and the back-off of waiting", bad, b, nil, change(fresh, func(s *schedule) { s.waitFrom = time.Time{} })},
		{"a success without an expiry", good, nil, nil, schedule{refreshed: ruleTime, fruitless: 3, waitFrom: at(m)}},
		{"the first failure starts waiting over", good, b, errRulePermanent, change(good, func(s *schedule) {
			s.err, s.attempts, s.fruitless, s.waitFrom, s.refused = errRulePermanent, 1, 0, time.Time{}, ruleTime
		})},
		{"a further failure does not start it over, and the layer stays revoked", bad, b, errRulePermanent, change(bad, func(s *schedule) { s.err, s.attempts, s.refused = errRulePermanent, 5, ruleTime })},
		{"a revocation that keeps the bundle", good, b, errRuleRevoked, change(good, func(s *schedule) {
			s.err, s.attempts, s.revoked, s.fruitless, s.waitFrom, s.refused = errRuleRevoked, 1, true, 0, time.Time{}, ruleTime
		})},
		{"a revocation that removes the bundle and its expiry", good, nil, errRuleRevoked, change(good, func(s *schedule) {
			s.err, s.attempts, s.revoked, s.fruitless, s.waitFrom, s.expires, s.refused = errRuleRevoked, 1, true, 0, time.Time{}, time.Time{}, ruleTime
		})},
	} {
		t.Run(row.rule, func(t *testing.T) {
			got := row.before.fetched(ruleTime, ruleTime, row.b, row.err, 15*m, least)
			require.True(t, got.next.After(ruleTime))
			got.next = time.Time{}
			require.Equal(t, row.want, got)
		})
	}
}

func TestSchedule_Wait(t *testing.T) {
	const s, m = time.Second, time.Minute
	next := ruleTime.Add(10 * m)
	for _, row := range []struct {
		rule              string
		fruitless         int // before this one
		failed            error
		took              time.Duration
		changed           bool
		err               error
		shortest, longest time.Duration // from the start of this wait to the next
		want              int           // fruitless
		forward           bool
	}{
		{"other secrets: at least a second from the start", 3, nil, 0, true, nil, s, s, 0, false},
		{"other secrets after a while", 3, nil, 5 * s, true, nil, s, s, 0, false},
		{"the same secrets after 10 seconds", 3, nil, 10 * s, false, nil, s, s, 0, false},
		{"the same secrets sooner: a back-off from the start, and a second from the end", 0, nil, 10*s - 1, false, nil, 11*s - 1, 11*s - 1, 1, false},
		{"the same secrets sooner again: a longer one", 2, nil, 0, false, nil, s, 8 * s, 3, false},
		{"up to a minute", 100, nil, 0, false, nil, s, m, 101, false},
		{"a failure: a back-off", 0, nil, 0, false, errRuleDown, s, 2 * s, 1, false},
		{"a failure again: a longer one", 2, nil, 0, false, errRuleDown, s, 8 * s, 3, false},
		{"a failure after 10 seconds: the first back-off", 5, nil, 10 * s, false, errRuleDown, 11 * s, 11 * s, 1, false},
		{"a failure with RetryAfter", 0, nil, 0, false, &bundle.FetchError{RetryAfter: 10 * m}, 10 * m, 11*m - 1, 1, false},
		{"a revocation is recorded as an attempt as well", 0, nil, 0, false, errRuleRevoked, s, 2 * s, 1, false},

		{"a permanent error brings the fetch forward", 0, nil, s, false, errRulePermanent, 2 * s, 2 * s, 1, true},
		{"a permanent error after a long wait brings it forward too", 7, nil, m, false, errRulePermanent, 61 * s, 61 * s, 1, true},
		{"a second permanent error does not", 1, nil, 0, false, errRulePermanent, s, 4 * s, 2, false},
		{"a permanent error of a failed layer does not", 0, errRulePermanent, 0, false, errRulePermanent, s, 2 * s, 1, false},
	} {
		t.Run(row.rule, func(t *testing.T) {
			before := schedule{next: next, refreshed: ruleTime, fruitless: row.fruitless}
			if row.failed != nil {
				before.err, before.attempts = row.failed, 1
			}
			end := ruleTime.Add(row.took)
			requireBounds(t, row.shortest, row.longest, func(random draw) time.Duration {
				got := before.waited(ruleTime, end, row.changed, row.err, 15*m, random)
				between := got.waitFrom.Sub(ruleTime)
				want := before
				want.waitFrom, want.fruitless = got.waitFrom, row.want
				if row.forward {
					want.next = end
				}
				require.Equal(t, want, got)
				return between
			})
		})
	}
}

func TestSchedule_Due(t *testing.T) {
	at := func(d time.Duration) time.Time { return ruleTime.Add(d) }
	const m = time.Minute
	for _, row := range []struct {
		rule   string
		s      schedule
		waiter bool
		want   action
		until  time.Time
	}{
		{"a new layer is fetched", schedule{}, true, fetch, time.Time{}},
		{"a layer is fetched when it is due", schedule{next: ruleTime}, false, fetch, time.Time{}},
		{"a layer that is due is not waited on", schedule{next: ruleTime}, true, fetch, time.Time{}},
		{"a layer that is not due is left alone", schedule{next: at(1)}, false, nothing, at(1)},
		{"a layer that is not due is waited on if possible", schedule{next: at(m), waitFrom: ruleTime}, true, wait, at(m)},
		{"a wait does not start too soon after the previous one", schedule{next: at(m), waitFrom: at(1)}, true, nothing, at(1)},
		{"a wait does not replace a fetch", schedule{next: at(m), waitFrom: at(m + 1)}, true, nothing, at(m)},

		{"no wait follows a failure", schedule{next: at(m), attempts: 1, err: errRuleDown}, true, nothing, at(m)},
		{"a wait follows a permanent error", schedule{next: at(m), attempts: 3, err: errRulePermanent}, true, wait, at(m)},
		{"no wait follows a permanent error of a provider without Wait", schedule{next: at(m), attempts: 3, err: errRulePermanent}, false, nothing, at(m)},
		{"no second wait follows a permanent error", schedule{next: at(m), attempts: 3, err: errRulePermanent, fruitless: 1}, true, nothing, at(m)},
		{"no wait follows a revocation", schedule{next: at(m), attempts: 1, err: errRuleRevoked, revoked: true}, true, nothing, at(m)},
		{"no wait follows a permanent error after a revocation", schedule{next: at(m), attempts: 2, err: errRulePermanent, revoked: true}, true, nothing, at(m)},
	} {
		t.Run(row.rule, func(t *testing.T) {
			got, until := row.s.due(ruleTime, row.waiter)
			require.Equal(t, row.want, got)
			require.Equal(t, row.until, until)
		})
	}
}

func TestSchedule_State(t *testing.T) {
	const maxStale = time.Hour
	recent, old := ruleTime.Add(-maxStale+1), ruleTime.Add(-maxStale)
	for _, row := range []struct {
		rule string
		s    schedule
		want State
	}{
		{"after a success", schedule{refreshed: recent}, Fresh},
		{"after a failure", schedule{refreshed: recent, attempts: 1, err: errRuleDown}, Stale},
		{"after MaxStale with failures", schedule{refreshed: old, attempts: 9, err: errRuleDown}, Outdated},
		{"after MaxStale without any", schedule{refreshed: old}, Outdated},
		{"after a revocation and later errors", schedule{refreshed: old, attempts: 9, err: errRuleDown, revoked: true}, Revoked},
	} {
		t.Run(row.rule, func(t *testing.T) { require.Equal(t, row.want, row.s.stateAt(ruleTime, maxStale)) })
	}
}
