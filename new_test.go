package satchel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

func TestNew(t *testing.T) {
	t.Run("fetches every layer once, concurrently", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var layers []bundle.Provider
			var sources []*source
			for i := range 4 {
				s := newSource(fmt.Sprint("layer ", i), func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
					time.Sleep(10 * time.Second)
					return bundleOf(secret("A", fmt.Sprint(i)), secret(fmt.Sprint("ONLY_", i), "x")), nil
				})
				layers, sources = append(layers, s), append(sources, s)
			}
			start := time.Now()
			c := newClient(t, nil, layers...)
			require.Equal(t, 10*time.Second, time.Since(start), "the layers are fetched concurrently")
			for _, s := range sources {
				require.Len(t, s.fetched(), 1)
			}
			require.Equal(t, "3", value(c, "A"), "the last layer wins")
			require.Equal(t, 5, c.Bundle().Len(), "names of single layers are all present")

			time.Sleep(48 * time.Hour)
			require.Len(t, sources[0].fetched(), 1, "New starts nothing in the background")
		})
	})

	t.Run("retries unavailable layers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			left := 5
			s := newSource("flaky", func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
				if left--; left >= 0 {
					return nil, &bundle.FetchError{Kind: bundle.FetchKind(99 * (left % 2)), Err: errDown} // an unknown kind counts as unavailable
				}
				return bundleOf(secret("A", "1")), nil
			})
			steady := newSource("steady", gives(bundleOf(secret("B", "2"))))
			c := newClient(t, nil, s, steady)
			require.Equal(t, "1", value(c, "A"))
			require.Len(t, s.fetched(), 6)
			require.Len(t, steady.fetched(), 1, "a layer that succeeded is not fetched again because another failed")
			for i, gap := range gaps(s.fetched()) {
				require.GreaterOrEqual(t, gap, time.Second, "a retry follows a pause")
				require.LessOrEqual(t, gap, time.Second<<(i+1), "the limit of the pause starts at 2 s and doubles")
			}
			require.Equal(t, satchel.Fresh, c.Status().State)
			require.NoError(t, c.Status().LastError, "a success ends the error")
		})
	})

	t.Run("returns immediately on a permanent error", func(t *testing.T) {
		for _, cause := range []*bundle.FetchError{errPermanent, errRevoked} {
			t.Run(cause.Kind.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					down := newSource("down", fails(&bundle.FetchError{Err: errDown}))
					slow := newSource("slow", hangs)
					bad := newSource("dotenv .env", func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
						time.Sleep(3 * time.Second)
						return nil, fmt.Errorf("reading: %w", cause)
					})
					start := time.Now()
					c, err := satchel.New(t.Context(), []bundle.Provider{down, slow, bad}, quiet())
					require.Nil(t, c)
					require.Equal(t, 3*time.Second, time.Since(start), "New neither retries nor waits for the other layers")
					require.EqualError(t, err, "fetching layers[2] (dotenv .env): reading: "+cause.Error(),
						"the error names only the layer that failed for good")
					require.ErrorIs(t, err, error(cause))
					require.True(t, down.idle() && slow.idle() && bad.idle(), "no fetch outlives New")
				})
			})
		}
	})

	t.Run("returns the error of the context and of each layer's last attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			down := newSource("down", fails(&bundle.FetchError{Err: errDown}))
			slow := newSource("slow", hangs)
			fine := newSource("fine", gives(nil))
			_, err := satchel.New(ctx, []bundle.Provider{fine, down, slow}, quiet())
			require.ErrorIs(t, err, context.DeadlineExceeded, "the context's error tells why New gave up")
			require.ErrorIs(t, err, errDown, "the last attempt's error tells what was wrong")
			_, ok := errors.AsType[*bundle.FetchError](err)
			require.True(t, ok)
			require.ErrorContains(t, err, "fetching layers[1] (down): context deadline exceeded; the last attempt: connection refused")
			require.ErrorContains(t, err, "fetching layers[2] (slow): context deadline exceeded; the last attempt: no response within 1m0s")
			require.NotContains(t, err.Error(), "fine")
			require.True(t, down.idle() && slow.idle(), "no fetch outlives New")
		})
	})

	t.Run("names a layer whose first attempt is cut off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			slow := newSource("slow", hangs)
			_, err := satchel.New(ctx, []bundle.Provider{slow}, quiet())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "layers[0] (slow)")
			require.True(t, slow.idle())
		})
	})

	t.Run("reports the last complete attempt, not one that is cut off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			attempts := 0
			s := newSource("s", func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
				if attempts++; attempts == 1 {
					return nil, errDown
				}
				return hangs(ctx, last)
			})
			_, err := satchel.New(ctx, []bundle.Provider{s}, quiet())
			require.EqualError(t, err, "fetching layers[0] (s): context deadline exceeded; the last attempt: connection refused",
				"the error of the attempt that was cut off is left out")
		})
	})

	t.Run("limits each fetch to Timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			s := newSource("sticky", func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
				if attempts++; attempts == 1 {
					return hangs(ctx, last)
				}
				return bundleOf(secret("A", "1")), nil
			})
			start := time.Now()
			opts := quiet()
			opts.Timeout = 20 * time.Second
			c := newClient(t, opts, s)
			require.Equal(t, "1", value(c, "A"))
			require.InDelta(t, 21.5, time.Since(start).Seconds(), 0.51, "the timeout and a pause of 1 to 2 s")
		})
	})

	t.Run("rejects nil layers and negative durations", func(t *testing.T) {
		ctx := t.Context()
		ok := newSource("ok", gives(nil))
		_, err := satchel.New(ctx, []bundle.Provider{ok, nil}, nil)
		require.EqualError(t, err, "layers[1] is nil; leave it out")
		_, err = satchel.New(ctx, []bundle.Provider{ok, (*source)(nil)}, nil)
		require.EqualError(t, err, "layers[1] is nil; leave it out", "a constructor returns a nil pointer with an error")
		_, err = satchel.New(ctx, []bundle.Provider{ok}, &satchel.Options{MaxStale: -time.Second})
		require.EqualError(t, err, "option MaxStale is -1s; want a positive duration, or zero for the default")
		require.Empty(t, ok.fetched(), "nothing is fetched with invalid settings")
	})

	t.Run("numbers layers with the same name", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, nil, newSource("env", gives(nil)), newSource("env", gives(nil)), nameless{})
			var names []string
			for _, l := range c.Status().Layers {
				names = append(names, l.Name)
			}
			require.Equal(t, []string{"env", "env #2", "satchel_test.nameless"}, names)
		})
	})

	t.Run("accepts no layers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, nil)
			require.NotNil(t, c.Bundle(), "the bundle is empty, not nil")
			require.Zero(t, c.Bundle().Len())
			stop := run(t, c)
			changed, err := c.Refresh(t.Context())
			require.NoError(t, err)
			require.False(t, changed)
			time.Sleep(48 * time.Hour)
			require.Equal(t, satchel.Fresh, c.Status().State)
			require.NoError(t, stop())
		})
	})
}

func TestNew_Optional(t *testing.T) {
	t.Run("does not wait for a layer that is down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			down := newSource("platform", fails(errDown))
			c := newClient(t, nil, bundle.Optional(down), newSource("local", gives(bundleOf(secret("A", "1")))))
			require.Equal(t, "1", value(c, "A"))
			require.Len(t, c.Bundle().Problems(), 1)

			run(t, c)
			down.become(gives(bundleOf(secret("B", "2"))))
			time.Sleep(66 * time.Second)
			require.Equal(t, "2", value(c, "B"), "an optional layer that is down is fetched again after a minute")
			require.Empty(t, c.Bundle().Problems())
		})
	})

	t.Run("gives a layer that hangs one attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			stuck := newSource("platform", hangs)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			c, err := satchel.New(ctx, []bundle.Provider{bundle.Optional(stuck), newSource("local", gives(bundleOf(secret("A", "1"))))}, quiet())
			require.NoError(t, err)
			require.Equal(t, time.Minute, time.Since(start), "an optional layer gets one attempt")
			require.Len(t, stuck.fetched(), 1)
			require.Equal(t, "1", value(c, "A"))
			require.Equal(t, []bundle.Problem{{Origin: bundle.Origin{Provider: "platform"}, Reason: "no response within 1m0s: context deadline exceeded", Retryable: true}},
				c.Bundle().Problems())

			stuck.become(func(ctx context.Context, _ *bundle.Bundle) (*bundle.Bundle, error) {
				<-ctx.Done()
				return nil, fmt.Errorf("requesting: %w", context.Cause(ctx)) // as package http does
			})
			b, err := satchel.New(ctx, []bundle.Provider{bundle.Optional(stuck)}, quiet())
			require.NoError(t, err)
			require.Equal(t, "requesting: no response within 1m0s", b.Bundle().Problems()[0].Reason, "the timeout is reported once")
			_, err = c.Refresh(ctx)
			require.EqualError(t, err, "fetching layers[0] (platform): requesting: no response within 1m0s")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			stuck.become(hangs)

			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = satchel.New(ctx, []bundle.Provider{bundle.Optional(stuck)}, quiet())
			require.ErrorIs(t, err, context.DeadlineExceeded, "the end of the context is not a problem of the layer")
		})
	})
}

type nameless struct{}

func (nameless) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) { return nil, nil }
