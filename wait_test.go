package satchel_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// pushing is a source whose Wait returns a change immediately.
type pushing struct {
	*source
	now     atomic.Pointer[bundle.Bundle]
	changed chan struct{}
}

func newPushing(b *bundle.Bundle) *pushing {
	p := &pushing{changed: make(chan struct{}, 1)}
	p.source = newSource("pushing", func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) { return p.now.Load(), nil })
	p.now.Store(b)
	return p
}

func (p *pushing) set(b *bundle.Bundle) {
	p.now.Store(b)
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *pushing) Wait(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	defer p.call(&p.waits)()
	for {
		if b := p.now.Load(); !b.Equal(last) {
			return b, nil
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestWait(t *testing.T) {
	t.Run("delivers a rotation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPushing(bundleOf(secret("A", "0")))
			c := newClient(t, nil, p)
			run(t, c)
			for i := range 100 {
				time.Sleep(time.Duration(i) * time.Second)
				p.set(bundleOf(secret("A", fmt.Sprint(i))))
				time.Sleep(1100 * time.Millisecond)
				require.Equal(t, fmt.Sprint(i), value(c, "A"), "a rotation arrives in about a second, even right after another one")
			}
			require.False(t, p.overlapped())
		})
	})

	t.Run("ends at the next scheduled fetch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var c *satchel.Client
			w := &waiting{source: newSource("s", gives(bundleOf(secret("A", "1"))))}
			w.wait = func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
				if ends, ok := ctx.Deadline(); !ok || !ends.Equal(c.Status().NextRefresh) {
					t.Errorf("the deadline of the wait is %s; want NextRefresh, %s", ends, c.Status().NextRefresh)
				}
				if last.Len() != 1 {
					t.Error("Wait must get the layer's last bundle")
				}
				return hangs(ctx, last)
			}
			c = newClient(t, nil, w)
			run(t, c)
			time.Sleep(24 * time.Hour)
			require.InDelta(t, 96, len(w.fetched()), 12, "a wait without an end does not delay the fetches")
			require.Len(t, w.waited(), len(w.fetched()), "one wait follows each fetch")
			require.False(t, w.overlapped(), "a layer is never fetched while it is waited on")
		})
	})

	t.Run("pauses while the layer fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &waiting{newSource("s", gives(nil)), hangs}
			c := newClient(t, nil, w)
			run(t, c)
			w.become(fails(errDown))
			_, _ = c.Refresh(t.Context())
			waits := len(w.waited())
			time.Sleep(5 * time.Hour)
			require.Len(t, w.waited(), waits, "only the back-off limits calls to a source that is down")

			w.become(gives(bundleOf(secret("A", "1"))))
			time.Sleep(6 * time.Minute)
			require.Len(t, w.waited(), waits+1)
		})
	})

	t.Run("resumes immediately after an outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var down, once atomic.Bool
			p := newPushing(bundleOf(secret("A", "1")))
			serve := p.source.fetch
			p.become(func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
				if down.Load() {
					return nil, errDown
				}
				return serve(ctx, last)
			})
			c := newClient(t, nil, &waiting{p.source, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
				if down.Load() || once.CompareAndSwap(true, false) {
					return nil, errDown
				}
				return p.Wait(ctx, last)
			}})
			run(t, c)
			down.Store(true)
			p.set(bundleOf(secret("A", "2")))
			time.Sleep(5 * time.Hour)
			down.Store(false)
			once.Store(true)
			_, err := c.Refresh(t.Context())
			require.NoError(t, err)
			synctest.Wait()
			p.set(bundleOf(secret("A", "3")))
			time.Sleep(2100 * time.Millisecond)
			require.Equal(t, "3", value(c, "A"), "after one failed wait the pause is at most 2 seconds, because those of the outage do not count")
		})
	})

	t.Run("removes the secrets when the layer is revoked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &waiting{newSource("s", gives(bundleOf(secret("A", "1")))), func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
				time.Sleep(time.Minute)
				return nil, errRevoked
			}}
			c := newClient(t, nil, w)
			run(t, c)
			time.Sleep(60*time.Second + 500*time.Millisecond)
			require.Equal(t, "(none)", value(c, "A"), "the secrets leave before the next fetch")
			require.Equal(t, satchel.Revoked, c.Status().State)
			require.Len(t, w.fetched(), 1, "a revoked layer is retried later")
			time.Sleep(1500 * time.Millisecond)
			require.Equal(t, "1", value(c, "A"), "but soon")
		})
	})

	t.Run("notices that a permanent error is fixed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			repaired := make(chan *bundle.Bundle)
			w := &waiting{newSource("dotenv", gives(bundleOf(secret("A", "1")))), func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
				select {
				case b := <-repaired:
					if b == nil {
						b = last
					}
					return b, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}}
			c := newClient(t, nil, w)
			run(t, c)
			for _, b := range []*bundle.Bundle{nil, bundleOf(secret("A", "2"))} {
				w.become(fails(errPermanent))
				_, err := c.Refresh(t.Context())
				require.Error(t, err)
				time.Sleep(5 * time.Hour)
				require.Equal(t, satchel.Stale, c.Status().State)
				fetches := len(w.fetched())
				repaired <- b
				synctest.Wait()
				require.Equal(t, satchel.Fresh, c.Status().State, "the layer is fresh before the next fetch, even with the same secrets")
				require.NoError(t, c.Status().LastError)
				require.Len(t, w.fetched(), fetches, "the bundle of the wait needs no fetch")
			}
			require.Equal(t, "2", value(c, "A"))
			require.False(t, w.overlapped())
		})
	})

	t.Run("brings one fetch forward after a permanent error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var broken, hopeless atomic.Bool
			fetch := func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
				if broken.Load() {
					return nil, errPermanent
				}
				return bundleOf(secret("A", "1")), nil
			}
			wasBroken := false
			w := &waiting{newSource("dotenv", fetch), func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
				for ctx.Err() == nil {
					switch now := broken.Load(); {
					case hopeless.Load():
						return nil, errPermanent
					case now && !wasBroken:
						wasBroken = now
						return nil, errPermanent
					case !now && wasBroken:
						wasBroken = now
						return last, nil
					}
					time.Sleep(time.Second)
				}
				return nil, ctx.Err()
			}}
			c := newClient(t, nil, w)
			run(t, c)
			time.Sleep(10 * time.Second)
			for range 5 {
				broken.Store(true)
				time.Sleep(2 * time.Second)
				require.Equal(t, satchel.Stale, c.Status().State, "the error is noticed immediately")
				require.ErrorIs(t, c.Status().LastError, error(errPermanent))
				require.LessOrEqual(t, c.Status().Attempts, 2)
				broken.Store(false)
				time.Sleep(2 * time.Second)
				require.Equal(t, satchel.Fresh, c.Status().State, "the fix is noticed immediately")
				time.Sleep(time.Minute)
			}
			require.LessOrEqual(t, len(w.fetched()), 1+5*2, "one fetch for each error, and the first retry")

			hopeless.Store(true)
			time.Sleep(48 * time.Hour)
			require.InDelta(t, 48*4, len(w.fetched()), 65, "a wait that always fails brings only the first fetch forward")
		})
	})
}

func TestWait_BackOff(t *testing.T) {
	const during = 6 * time.Hour
	content := func() *bundle.Bundle { return bundleOf(secret("A", "1")) }
	flips := 0
	for _, row := range []struct {
		rule string
		wait fetchFunc
		// The number of waits in that time. Waits that back off pause for half of a
		// minute on average, and start over at every fetch, which cuts the pause short.
		// See TestSchedule_ErrorLimit for the numbers.
		least, most int
	}{
		{"it fails immediately", fails(errDown), 600, 820},
		{"it fails permanently", fails(errPermanent), 600, 820},
		{"it fails with RetryAfter", fails(&bundle.FetchError{RetryAfter: 10 * time.Minute, Err: errDown}), 23, 50},
		{"it returns its argument", func(_ context.Context, last *bundle.Bundle) (*bundle.Bundle, error) { return last, nil }, 600, 820},
		{"it returns an equal bundle", func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) { return content(), nil }, 600, 820},
		{"it returns the same secrets with a new revision each time", func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
			flips++
			return bundleWith(bundle.Meta{Revision: fmt.Sprint(flips)}, secret("A", "1")), nil
		}, 600, 820},
		{"it returns other secrets each time", func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
			flips++
			return bundleOf(secret("A", fmt.Sprint(flips))), nil
		}, 21599, 21601},
		{"it returns its argument after a long poll", func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
			_, _ = hangs(cut(ctx, 50*time.Second), nil)
			return last, nil
		}, 400, 450},
		{"its connection is cut after a minute", func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
			return hangs(cut(ctx, time.Minute), last)
		}, 330, 380},
	} {
		t.Run(row.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &waiting{newSource("s", gives(content())), row.wait}
				c := newClient(t, nil, w)
				run(t, c)
				time.Sleep(during)
				waits := w.waited()
				t.Logf("%d waits, %d fetches", len(waits), len(w.fetched()))
				require.GreaterOrEqual(t, len(waits), row.least)
				require.LessOrEqual(t, len(waits), row.most)
				close := 0
				for _, gap := range gaps(waits) {
					if gap < time.Second {
						close++
					}
				}
				require.LessOrEqual(t, close, len(w.fetched()), "only after a fetch does a wait start within a second of another")
				require.False(t, w.overlapped())
				require.Equal(t, satchel.Fresh, c.Status().State, "a failed wait is not a failed refresh")
				for _, gap := range gaps(w.fetched()) {
					require.LessOrEqual(t, gap, 17*time.Minute+time.Second)
				}
			})
		})
	}
}

// cut returns a context that ends after d.
func cut(ctx context.Context, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(ctx, d)
	context.AfterFunc(ctx, cancel)
	return ctx
}
