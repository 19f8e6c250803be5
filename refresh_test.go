package satchel_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// slowly delays f by d, unless its context ends before.
func slowly(d time.Duration, f fetchFunc) fetchFunc {
	return func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		select {
		case <-time.After(d):
			return f(ctx, last)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestClient_Refresh(t *testing.T) {
	t.Run("works without Run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			changed, err := c.Refresh(t.Context())
			require.NoError(t, err)
			require.False(t, changed)

			s.become(gives(bundleWith(bundle.Meta{Revision: "2"}, secret("A", "1"))))
			changed, err = c.Refresh(t.Context())
			require.NoError(t, err)
			require.False(t, changed, "a new revision of the same secrets is not a change")
			require.Equal(t, "2", c.Bundle().Revision())

			s.become(gives(bundleOf(secret("A", "2"))))
			changed, err = c.Refresh(t.Context())
			require.NoError(t, err)
			require.True(t, changed)
			require.Equal(t, "2", value(c, "A"))
		})
	})

	t.Run("joins the errors of failed layers and keeps the rest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			one := newSource("one", gives(bundleOf(secret("A", "1"))))
			two := newSource("two", gives(bundleOf(secret("B", "1"))))
			three := newSource("three", gives(bundleOf(secret("C", "1"))))
			c := newClient(t, nil, one, two, three)
			one.become(fails(errDown))
			two.become(slowly(time.Second, gives(bundleOf(secret("B", "2")))))
			three.become(fails(errPermanent))
			changed, err := c.Refresh(t.Context())
			require.EqualError(t, err, "fetching layers[0] (one): connection refused\nfetching layers[2] (three): line 3 makes no sense")
			require.ErrorIs(t, err, errDown)
			require.ErrorIs(t, err, error(errPermanent))
			require.True(t, changed)
			require.Equal(t, []string{"A=1", "B=2", "C=1"}, c.Bundle().Environ())
		})
	})

	t.Run("ends a wait of Run without overlapping it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &waiting{newSource("s", gives(bundleOf(secret("A", "1")))), hangs}
			c := newClient(t, nil, w)
			run(t, c)
			w.become(gives(bundleOf(secret("A", "2"))))
			start := time.Now()
			changed, err := c.Refresh(t.Context())
			require.NoError(t, err)
			require.True(t, changed)
			require.Zero(t, time.Since(start), "a refresh does not wait for the end of a wait")
			synctest.Wait()
			require.Len(t, w.waited(), 2, "waiting continues afterwards")
			require.False(t, w.overlapped())
		})
	})

	t.Run("never overlaps other calls to the same layer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			w := &waiting{source: newSource("w", nil)}
			w.become(slowly(700*time.Millisecond, func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
				n++
				return bundleWith(bundle.Meta{RefreshAfter: 10 * time.Second}, secret("N", fmt.Sprint(n))), nil
			}))
			w.wait = slowly(3*time.Second, w.source.fetch)
			plain := newSource("plain", slowly(300*time.Millisecond, gives(bundleWith(bundle.Meta{RefreshAfter: 10 * time.Second}))))
			c := newClient(t, nil, w, plain)
			var group sync.WaitGroup
			for i := range 5 { // callers, some of which leave early
				group.Go(func() {
					for range 500 {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*400*time.Millisecond)
						_, _ = c.Refresh(ctx)
						cancel()
						time.Sleep(time.Duration(i*i) * 900 * time.Millisecond)
					}
				})
			}
			for range 200 { // meanwhile, Run starts and ends
				ctx, cancel := context.WithTimeout(t.Context(), 7100*time.Millisecond)
				require.NoError(t, c.Run(ctx))
				cancel()
				time.Sleep(1300 * time.Millisecond)
			}
			group.Wait()
			require.False(t, w.overlapped(), "calls of Fetch and Wait of one layer never overlap")
			require.False(t, plain.overlapped())
			_, err := c.Refresh(t.Context())
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(n), value(c, "N"))
		})
	})

	t.Run("continues after Run ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			stop := run(t, c)
			s.become(slowly(10*time.Second, gives(bundleOf(secret("A", "2")))))
			var group sync.WaitGroup
			group.Go(func() {
				changed, err := c.Refresh(t.Context())
				if err != nil || !changed {
					t.Errorf("a Refresh succeeds after the end of Run; got %t, %v", changed, err)
				}
			})
			time.Sleep(5 * time.Second) // during the fetch
			require.NoError(t, stop())
			group.Wait()
			require.False(t, s.overlapped())
		})
	})

	t.Run("postpones the next scheduled fetch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			run(t, c)
			for range 50 {
				time.Sleep(10 * time.Minute)
				_, err := c.Refresh(t.Context())
				require.NoError(t, err)
			}
			require.Len(t, s.fetched(), 51, "a layer that was just fetched is not due")
		})
	})
}

func TestClient_RefreshSharing(t *testing.T) {
	t.Run("fetches once for concurrent callers", func(t *testing.T) {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("running is %t", running), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSource("s", gives(bundleOf(secret("A", "1"))))
					c := newClient(t, nil, s)
					if running {
						run(t, c)
					}
					s.become(slowly(5*time.Second, gives(bundleOf(secret("A", "2")))))
					var group sync.WaitGroup
					for range 50 {
						group.Go(func() {
							changed, err := c.Refresh(t.Context())
							if err != nil || !changed {
								t.Errorf("every caller gets the outcome; got %t, %v", changed, err)
							}
						})
					}
					group.Wait()
					require.Len(t, s.fetched(), 2)

					_, err := c.Refresh(t.Context())
					require.NoError(t, err)
					require.Len(t, s.fetched(), 3, "a caller after the end of a refresh starts another")
				})
			})
		}
	})

	t.Run("goes on when a caller leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			s.become(slowly(10*time.Second, gives(bundleOf(secret("A", "2")))))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var group sync.WaitGroup
			group.Go(func() {
				start := time.Now()
				_, err := c.Refresh(ctx) // starts the fetch
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
					t.Errorf("a caller leaves when its context ends; got %v after %s", err, time.Since(start))
				}
			})
			synctest.Wait()
			changed, err := c.Refresh(t.Context())
			require.NoError(t, err)
			require.True(t, changed)
			group.Wait()
			require.Len(t, s.fetched(), 2)
		})
	})

	t.Run("is canceled when the last caller leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			s.become(slowly(30*time.Second, gives(bundleOf(secret("A", "2")))))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var group sync.WaitGroup
			for range 3 {
				group.Go(func() { _, _ = c.Refresh(ctx) })
			}
			group.Wait()
			synctest.Wait()
			require.True(t, s.idle(), "the fetch was canceled")
			require.Equal(t, "1", value(c, "A"))
			require.Equal(t, satchel.Fresh, c.Status().State, "the cancellation is not a failure of the layer")

			changed, err := c.Refresh(t.Context())
			require.NoError(t, err)
			require.True(t, changed, "a later caller starts another refresh")

			for range 50 {
				_, err = c.Refresh(ctx)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				synctest.Wait()
			}
			require.Len(t, s.fetched(), 3, "a call with a canceled context starts nothing")
		})
	})

	t.Run("starts a new refresh beside a canceled one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			s.become(func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
				<-ctx.Done()
				time.Sleep(time.Second) // as a provider that closes a connection
				return nil, ctx.Err()
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := c.Refresh(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.False(t, s.idle())

			s.become(gives(bundleOf(secret("A", "2"))))
			changed, err := c.Refresh(t.Context())
			require.NoError(t, err, "a caller after the last one left starts another refresh")
			require.True(t, changed)
			require.False(t, s.overlapped(), "which waits for the layer")
		})
	})
}
