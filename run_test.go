package satchel_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

func TestClient_Run(t *testing.T) {
	t.Run("keeps the last good bundle during an outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("platform", gives(bundleOf(secret("A", "1"))))
			local := newSource("local", gives(bundleOf(secret("B", "2"))))
			c := newClient(t, nil, s, local)
			run(t, c)
			good := c.Bundle()

			s.become(fails(errDown))
			time.Sleep(72 * time.Hour)
			require.Same(t, good, c.Bundle(), "an outage does not change the bundle")
			require.Equal(t, satchel.Outdated, c.Status().State)
			require.InDelta(t, 72*4, len(local.fetched()), 30, "the other layer keeps its schedule")

			s.become(gives(bundleOf(secret("A", "new"))))
			time.Sleep(6 * time.Minute)
			require.Equal(t, "new", value(c, "A"), "the end of an outage is noticed within the longest pause")
			require.Equal(t, satchel.Fresh, c.Status().State)
		})
	})

	t.Run("refreshes other layers while one hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stuck := newSource("stuck", gives(bundleOf(secret("A", "1"))))
			n := 0
			lively := newSource("lively", func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
				n++
				return bundleOf(secret("N", fmt.Sprint(n))), nil
			})
			c := newClient(t, &satchel.Options{Timeout: 100 * time.Hour}, stuck, lively)
			run(t, c)
			stuck.become(hangs)
			time.Sleep(50 * time.Hour)
			require.Len(t, stuck.fetched(), 2)
			require.InDelta(t, 200, len(lively.fetched()), 20)
			require.Equal(t, fmt.Sprint(len(lively.fetched())), value(c, "N"))
			require.Equal(t, "1", value(c, "A"))
		})
	})

	t.Run("replaces the snapshot only after a change", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			copies := func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
				return bundleWith(bundle.Meta{Revision: "7"}, secret("A", "1"), secret("B", "2")), nil
			}
			var handed atomic.Pointer[bundle.Bundle]
			s := newSource("s", copies)
			c := newClient(t, nil, s)
			run(t, c)
			before := c.Bundle()
			s.become(func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
				if was := handed.Swap(last); was != nil && was != last {
					t.Error("of equal bundles, the layer must keep the first")
				}
				return copies(ctx, last)
			})
			time.Sleep(24 * time.Hour)
			require.Greater(t, len(s.fetched()), 80)
			require.Same(t, before, c.Bundle(), "an equal bundle is not a change")

			s.become(gives(bundleWith(bundle.Meta{Revision: "8"}, secret("A", "1"), secret("B", "2"))))
			time.Sleep(20 * time.Minute)
			require.NotSame(t, before, c.Bundle())
			require.Equal(t, "8", c.Bundle().Revision(), "metadata counts")
			require.Equal(t, 2, before.Len(), "a returned snapshot does not change")
		})
	})

	t.Run("fails while another Run is active, and works after it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			stop := run(t, c)
			require.ErrorContains(t, c.Run(t.Context()), "already running")
			require.NoError(t, stop())

			s.become(gives(bundleOf(secret("A", "2"))))
			time.Sleep(3 * time.Hour)
			require.Equal(t, "1", value(c, "A"))
			stop = run(t, c)
			require.Equal(t, "2", value(c, "A"), "an overdue layer is fetched immediately")
			require.NoError(t, stop())
		})
	})

	t.Run("keeps an hourly token fresh for a year", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			// A token with a lifetime of an hour, as GitHub's tokens have. The source
			// returns the same token until less than 40 % of its lifetime is left.
			var minted bundle.Secret
			serial := 0
			s := newSource("platform", func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
				if time.Until(minted.Expires) < 24*time.Minute {
					serial++
					minted = expiring("TOKEN", fmt.Sprint("serial ", serial), time.Now().Add(time.Hour))
				}
				return bundleOf(minted, secret("KEY", "k")), nil
			})
			c := newClient(t, nil, s)
			run(t, c)
			for range 365 * 24 {
				time.Sleep(time.Hour)
				token, ok := c.Bundle().Get("TOKEN")
				if !ok || time.Until(token.Expires) < 5*time.Minute {
					t.Fatalf("at %s the token is missing or about to expire: %v", time.Now(), token.Expires)
				}
			}
			require.Empty(t, c.Bundle().Problems())
			// Fetches are at least 13.5 minutes apart, except that the margin of each
			// token can bring one forward.
			require.LessOrEqual(t, len(s.fetched()), 365*24*60*10/135+serial)
		})
	})

	t.Run("spreads the polls of a thousand clients", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			// All clients start together and poll every minute. The test counts polls
			// per second: the first ones, and those of the minute after 50 minutes.
			var first [70]int
			var later [60]int
			start := time.Now()
			s := newSource("platform", nil)
			s.become(func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
				second := int(time.Since(start) / time.Second)
				s.mu.Lock()
				defer s.mu.Unlock()
				if second > 0 && second < len(first) {
					first[second]++
				}
				if second -= 50 * 60; second >= 0 && second < len(later) {
					later[second]++
				}
				return nil, nil
			})
			for range 1000 {
				run(t, newClient(t, &satchel.Options{Interval: time.Minute}, s))
			}
			time.Sleep(52 * time.Minute)
			s.mu.Lock()
			defer s.mu.Unlock()
			// The first polls fall into 12 seconds, 83 per second; in the end they
			// fill the minute, 17 per second.
			for second, n := range first {
				require.LessOrEqual(t, n, 140, "the first polls are bunched at second %d", second)
			}
			for second, n := range later {
				require.InDelta(t, 17, n, 26, "after 50 minutes the polls are bunched at second %d", second)
			}
		})
	})
}

func TestClient_RunEnd(t *testing.T) {
	for name, provider := range map[string]func() (bundle.Provider, *source){
		"while nothing happens": func() (bundle.Provider, *source) {
			s := newSource("s", gives(nil))
			return s, s
		},
		"in a fetch": func() (bundle.Provider, *source) {
			s := newSource("s", gives(bundleWith(bundle.Meta{RefreshAfter: 10 * time.Second})))
			return s, s
		},
		"in a wait": func() (bundle.Provider, *source) {
			w := &waiting{newSource("s", gives(nil)), hangs}
			return w, w.source
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := provider()
				c := newClient(t, nil, p)
				s.become(hangs)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				require.NoError(t, c.Run(ctx), "Run returns nil at the end of its context")
				require.Equal(t, time.Minute, time.Since(start))
				require.True(t, s.idle(), "no call outlives Run")
				require.Equal(t, satchel.Fresh, c.Status().State, "the end of Run is not a failure of the layer")
			})
		})
	}
}

func TestObserver(t *testing.T) {
	t.Run("is called for one event at a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var inside, calls atomic.Int32
			opts := quiet()
			opts.Observer.Fetched = func(string, time.Duration, error) {
				if inside.Add(1) != 1 {
					t.Error("calls of hooks overlap")
				}
				time.Sleep(time.Second)
				inside.Add(-1)
				calls.Add(1)
			}
			c := newClient(t, opts, newSource("one", gives(nil)), newSource("two", gives(nil)), newSource("three", gives(nil)))
			run(t, c)
			for range 3 {
				_, err := c.Refresh(t.Context())
				require.NoError(t, err)
			}
			time.Sleep(12 * time.Second)
			require.EqualValues(t, 12, calls.Load(), "no event is lost")
		})
	})

	t.Run("sees events in order and may call the client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var c *satchel.Client
			var events notes
			var inside atomic.Int32
			note := func(format string, args ...any) {
				if inside.Add(1) != 1 {
					t.Error("calls of hooks must not overlap")
				}
				defer inside.Add(-1)
				if c != nil {
					_ = c.Status()
					_ = c.Bundle()
				}
				events.add(format, args...)
			}
			s := newSource("s", gives(bundleOf(secret("A", "1"), secret("B", "1"))))
			c = newClient(t, &satchel.Options{Observer: satchel.Observer{
				Fetched:      func(layer string, took time.Duration, err error) { note("fetched %s in %s: %v", layer, took, err) },
				Changed:      func(d bundle.Diff) { note("%s; holds %d", d, c.Bundle().Len()) },
				StateChanged: func(layer string, from, to satchel.State) { note("%s from %s to %s", layer, from, to) },
			}}, s)
			refresh := func(f fetchFunc) {
				s.become(func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
					time.Sleep(time.Second)
					return f(ctx, last)
				})
				_, _ = c.Refresh(t.Context())
			}
			refresh(gives(bundleOf(secret("A", "2"), secret("C", "1"))))
			refresh(gives(bundleWith(bundle.Meta{Revision: "new"}, secret("A", "2"), secret("C", "1"))))
			refresh(fails(errDown))
			refresh(fails(errDown))
			refresh(fails(errRevoked))
			refresh(gives(bundleOf(secret("A", "2"))))
			require.Equal(t, strings.Split(strings.TrimSpace(`
fetched s in 0s: <nil>
fetched s in 1s: <nil>
added C; changed A; removed B; holds 2
fetched s in 1s: <nil>
fetched s in 1s: connection refused
s from fresh to stale
fetched s in 1s: connection refused
fetched s in 1s: the token was revoked
s from stale to revoked
removed A, C; holds 0
fetched s in 1s: <nil>
s from revoked to fresh
added A; holds 1`), "\n"), events.all())
		})
	})
}
