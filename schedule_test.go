package satchel_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// ticks runs a client with one layer for some time and returns the times between
// its fetches.
func ticks(t *testing.T, opts *satchel.Options, during time.Duration, fetch fetchFunc) []time.Duration {
	t.Helper()
	s := newSource("s", fetch)
	stop := run(t, newClient(t, opts, s))
	time.Sleep(during)
	require.NoError(t, stop())
	require.False(t, s.overlapped())
	return gaps(s.fetched())
}

func TestSchedule_Interval(t *testing.T) {
	t.Run("is shifted at random for every refresh", func(t *testing.T) {
		for _, interval := range []time.Duration{0, time.Minute, 6 * time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				want := interval
				if want == 0 {
					want = 15 * time.Minute
				}
				gaps := ticks(t, &satchel.Options{Interval: interval}, 500*want, gives(bundleOf(secret("A", "1"))))
				shortest, longest := slices.Min(gaps), slices.Max(gaps)
				require.GreaterOrEqual(t, shortest, want*9/10)
				require.LessOrEqual(t, longest, want*11/10)
				require.Greater(t, longest-shortest, want*19/100, "five hundred draws fill the range on both sides")
			})
		}
	})

	t.Run("is at most a year", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(nil))
			c := newClient(t, &satchel.Options{Interval: 1<<63 - 1}, s)
			run(t, c)
			time.Sleep(24 * time.Hour)
			require.Len(t, s.fetched(), 1, "sums of such intervals must not overflow")
			require.InDelta(t, 364*24, time.Until(c.Status().NextRefresh).Hours(), 37*24)
			s.become(fails(errRevoked))
			_, _ = c.Refresh(t.Context())
			time.Sleep(24 * time.Hour)
			require.InDelta(t, 36, len(s.fetched()), 25, "only the first 15 minutes have retries")
		})
	})
}

func TestSchedule_RefreshAfter(t *testing.T) {
	for _, row := range []struct {
		rule        string
		after, want time.Duration
	}{
		{"a shorter time is honored", 2 * time.Minute, 2 * time.Minute},
		{"a longer time is not", 24 * time.Hour, 15 * time.Minute},
		{"at least 10 seconds", time.Nanosecond, 10 * time.Second},
		{"zero is ignored", 0, 15 * time.Minute},
		{"a negative time is ignored", -time.Hour, 15 * time.Minute},
	} {
		t.Run(row.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, gap := range ticks(t, nil, 50*row.want, gives(bundleWith(bundle.Meta{RefreshAfter: row.after}))) {
					require.InDelta(t, row.want, gap, float64(row.want/10+1))
				}
			})
		})
	}
}

func TestSchedule_Margin(t *testing.T) {
	for _, row := range []struct {
		rule             string
		lifetime, margin time.Duration
	}{
		{"a fifth of a short lifetime", 5 * time.Minute, time.Minute},
		{"still a fifth at ten minutes", 10 * time.Minute, 2 * time.Minute},
		{"five minutes for a longer lifetime", 11 * time.Minute, 5 * time.Minute},
		{"five minutes while that is more than a fifth", 20 * time.Minute, 5 * time.Minute},
		{"a fifth of an hour", time.Hour, 12 * time.Minute},
		{"a fifth of a day", 24 * time.Hour, 288 * time.Minute},
	} {
		t.Run(row.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ahead := row.lifetime - row.margin
				gaps := ticks(t, &satchel.Options{Interval: 8000 * time.Hour}, 40*row.lifetime,
					func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
						return bundleOf(expiring("TOKEN", "x", time.Now().Add(row.lifetime)), secret("A", "1")), nil
					})
				require.LessOrEqual(t, slices.Max(gaps), ahead, "jitter must not reach into the margin")
				require.GreaterOrEqual(t, slices.Min(gaps), ahead*9/10)
				require.Greater(t, slices.Max(gaps)-slices.Min(gaps), ahead*5/100, "every tick has jitter")
			})
		})
	}
}

func TestSchedule_Lifetime(t *testing.T) {
	const minute = time.Minute
	for _, row := range []struct {
		rule             string
		created, rotated time.Duration // before the first fetch
		want             time.Duration // to the second
	}{
		// Each expires in 40 minutes. If its lifetime begins now, the margin is 8 minutes.
		{"now, if no date is known", 0, 0, 32 * minute},
		{"when it was rotated", 1000 * minute, 60 * minute, 20 * minute},
		{"when it was created, if it was never rotated", 60 * minute, 0, 20 * minute},
		{"now, if the source's clock is ahead", 1000 * minute, -39 * minute, 32 * minute},
	} {
		t.Run(row.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := expiring("TOKEN", "x", start.Add(40*minute))
				if row.created != 0 {
					s.Created = start.Add(-row.created)
				}
				if row.rotated != 0 {
					s.Rotated = start.Add(-row.rotated)
				}
				gaps := ticks(t, &satchel.Options{Interval: time.Hour}, 35*minute, gives(bundleOf(s)))
				require.LessOrEqual(t, gaps[0], row.want)
				require.GreaterOrEqual(t, gaps[0], row.want*9/10)
			})
		})
	}
}

func TestSchedule_UnchangedExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		const lifetime = 10 * time.Hour
		s := newSource("s", gives(bundleOf(expiring("TOKEN", "x", start.Add(lifetime)))))
		run(t, newClient(t, &satchel.Options{Interval: 500 * time.Hour}, s))
		time.Sleep(lifetime - time.Second)
		calls := s.fetched()
		for i, gap := range gaps(calls) {
			left := lifetime - calls[i].Sub(start)
			ahead := left - 2*time.Hour
			if ahead >= 30*time.Second {
				require.LessOrEqual(t, gap, ahead, "the next fetch comes before the margin")
				continue
			}
			require.GreaterOrEqual(t, gap, 30*time.Second, "at least 30 seconds")
			require.LessOrEqual(t, gap, max(30*time.Second, left*55/100), "half the time left, plus a tenth of it")
			require.GreaterOrEqual(t, gap, left*45/100)
		}
		// The fetch after up to 8 hours, and a second one if it came early; 7 or 8
		// halves of 2 hours until a minute is left; and those of the last minute.
		require.GreaterOrEqual(t, len(calls), 8)
		require.LessOrEqual(t, len(calls), 16)

		time.Sleep(500 * time.Hour)
		require.LessOrEqual(t, len(s.fetched()), len(calls)+3, "after the expiry, the interval applies")
	})
}

func TestSchedule_RenewalLimit(t *testing.T) {
	type source func(start time.Time) bundle.Secret
	for _, row := range []struct {
		rule  string
		most  int // calls in a day
		token source
	}{
		{"a lease of a second", 24 * 3600 / 10, func(time.Time) bundle.Secret {
			return expiring("T", "x", time.Now().Add(time.Second))
		}},
		{"a lease of a minute that is renewed", 24*3600/43 + 1, func(time.Time) bundle.Secret {
			return expiring("T", "x", time.Now().Add(time.Minute))
		}},
		{"a token that expired long ago", 24*60*10/135 + 1, func(start time.Time) bundle.Secret {
			return expiring("T", "x", start.Add(-time.Hour))
		}},
		{"a token that is never renewed", 24*60*10/135 + 20, func(start time.Time) bundle.Secret {
			return expiring("T", "x", start.Add(time.Hour))
		}},
		{"an expiry that moves by a nanosecond", 24 * 3600 / 10, func(start time.Time) bundle.Secret {
			return expiring("T", "x", start.Add(24*time.Hour).Add(time.Since(start)/1e9))
		}},
		{"an expiry that comes nearer", 24 * 3600 / 30, func(start time.Time) bundle.Secret {
			return expiring("T", "x", start.Add(24*time.Hour).Add(-time.Since(start)/2))
		}},
	} {
		t.Run(row.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				gaps := ticks(t, nil, 24*time.Hour, func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
					return bundleOf(row.token(start)), nil
				})
				require.LessOrEqual(t, len(gaps), row.most)
				require.GreaterOrEqual(t, slices.Min(gaps), 10*time.Second)
				require.GreaterOrEqual(t, len(gaps), 87, "and the fetches go on")
			})
		})
	}
}

// Every kind of error has a limit of calls per day. With a pause drawn evenly from
// 1 to 60 s, a day has 2833 calls on average with a deviation of 30; the first six
// pauses are shorter. Other pauses have a least length, and thereby a hard limit,
// except for those of the first 15 minutes of an error that needs a fix, in which
// there are some 35 calls.
func TestSchedule_ErrorLimit(t *testing.T) {
	const day = 24 * time.Hour
	const interval = 15 * time.Minute
	perDay := func(pause time.Duration) int { return int(day / pause) }
	for _, row := range []struct {
		rule        string
		err         error
		least, most int
	}{
		{"an error without a kind", errDown, 2650, 3000},
		{"unavailable", &bundle.FetchError{Err: errDown}, 2650, 3000},
		{"an unknown kind", &bundle.FetchError{Kind: 99, Err: errDown}, 2650, 3000},
		{"RetryAfter of a nanosecond", &bundle.FetchError{RetryAfter: time.Nanosecond, Err: errDown}, 2650, 3000},
		{"a negative RetryAfter", &bundle.FetchError{RetryAfter: -time.Hour, Err: errDown}, 2650, 3000},
		{"RetryAfter of ten minutes", &bundle.FetchError{RetryAfter: 10 * time.Minute, Err: errDown}, perDay(11 * time.Minute), perDay(10 * time.Minute)},
		{"RetryAfter of a year", &bundle.FetchError{RetryAfter: 365 * day, Err: errDown}, perDay(interval * 11 / 10), perDay(interval)},
		{"permanent", errPermanent, perDay(interval * 11 / 10), perDay(interval*9/10) + 65},
		{"permanent, with RetryAfter of a nanosecond", &bundle.FetchError{Kind: bundle.FetchPermanent, RetryAfter: 1, Err: errDown}, perDay(interval * 11 / 10), perDay(interval*9/10) + 65},
		{"revoked", errRevoked, perDay(interval * 11 / 10), perDay(interval*9/10) + 65},
		{"revoked, to be confirmed", &bundle.FetchError{Kind: bundle.FetchRevoked, Confirm: time.Hour, Err: errDown}, 2650, 3000},
	} {
		t.Run(row.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource("s", gives(bundleOf(secret("A", "1"))))
				c := newClient(t, nil, s)
				s.become(fails(row.err))
				_, err := c.Refresh(t.Context())
				require.ErrorIs(t, err, row.err)
				before := len(s.fetched())
				run(t, c)
				time.Sleep(day)
				calls := len(s.fetched()) - before
				require.GreaterOrEqual(t, calls, row.least)
				require.LessOrEqual(t, calls, row.most)
				require.GreaterOrEqual(t, slices.Min(gaps(s.fetched()[1:])), time.Second, "no two attempts within a second")
			})
		})
	}
}

func TestSchedule_Retries(t *testing.T) {
	t.Run("wait at least a second, however short the interval", func(t *testing.T) {
		for _, err := range []error{errDown, errPermanent, errRevoked, &bundle.FetchError{RetryAfter: 1, Err: errDown}} {
			synctest.Test(t, func(t *testing.T) {
				s := newSource("s", gives(nil))
				c := newClient(t, &satchel.Options{Interval: time.Millisecond}, s)
				s.become(fails(err))
				run(t, c)
				time.Sleep(time.Minute)
				require.GreaterOrEqual(t, slices.Min(gaps(s.fetched()[1:])), time.Second)
			})
		}
	})

	t.Run("back off further with each failure, and start over after a success", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			stop := run(t, c)
			for range 20 {
				s.become(fails(errDown))
				_, _ = c.Refresh(t.Context())
				first := len(s.fetched()) - 1
				time.Sleep(20 * time.Minute)
				for i, gap := range gaps(s.fetched()[first:]) {
					require.GreaterOrEqual(t, gap, time.Second)
					require.LessOrEqual(t, gap, min(time.Minute, time.Second<<min(i+1, 6)), "pause %d after a success", i+1)
				}
				s.become(gives(bundleOf(secret("A", "1"))))
				time.Sleep(61 * time.Second)
				require.Zero(t, c.Status().Attempts, "a success ends the count")
			}
			require.NoError(t, stop())
		})
	})

	t.Run("have full jitter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(nil))
			c := newClient(t, nil, s)
			s.become(fails(errDown))
			run(t, c)
			time.Sleep(12 * 24 * time.Hour)
			all := gaps(s.fetched())[20:]
			var short int
			for _, gap := range all {
				require.LessOrEqual(t, gap, time.Minute)
				if gap < 20*time.Second {
					short++
				}
			}
			require.InDelta(t, 19.0/59, float64(short)/float64(len(all)), 0.03, "the pauses fill the range from 1 s evenly")
		})
	})

	t.Run("wait at least RetryAfter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(nil))
			c := newClient(t, nil, s)
			s.become(fails(&bundle.FetchError{RetryAfter: 7 * time.Minute, Err: errDown}))
			_, _ = c.Refresh(t.Context())
			run(t, c)
			time.Sleep(10 * time.Hour)
			all := gaps(s.fetched()[1:])
			require.GreaterOrEqual(t, slices.Min(all), 7*time.Minute, "RetryAfter is the minimum")
			require.LessOrEqual(t, slices.Max(all), 7*time.Minute*11/10)
			require.Greater(t, slices.Max(all)-slices.Min(all), 20*time.Second, "clients with the same RetryAfter must not retry together")
		})
	})
}
