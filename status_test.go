package satchel_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

func loggerTo(out *notes, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
}

func TestClient_Status(t *testing.T) {
	t.Run("follows the refreshes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			var announced notes
			c := newClient(t, &satchel.Options{MaxStale: 2 * time.Hour, Observer: satchel.Observer{
				StateChanged: func(layer string, from, to satchel.State) { announced.add("%s", to) },
			}}, s)
			require.Equal(t, satchel.Fresh, c.Status().State)

			stop := run(t, c)
			s.become(fails(errDown))
			_, _ = c.Refresh(t.Context())
			status := c.Status()
			require.Equal(t, satchel.Stale, status.State)
			require.ErrorIs(t, status.LastError, errDown)
			require.EqualError(t, status.LastError, "s: connection refused")
			require.Equal(t, 1, status.Attempts)
			require.Zero(t, status.Age)

			time.Sleep(2*time.Hour - time.Nanosecond)
			require.Equal(t, satchel.Stale, c.Status().State)
			time.Sleep(time.Nanosecond)
			status = c.Status()
			require.Equal(t, satchel.Outdated, status.State, "the state changes at MaxStale, not at the next attempt")
			synctest.Wait()
			require.Equal(t, []string{"stale", "outdated"}, announced.all(), "and the observer is called then")
			require.Equal(t, 2*time.Hour, status.Age)
			require.Equal(t, "1", value(c, "A"), "an outdated layer keeps its secrets")

			s.become(fails(errRevoked))
			_, _ = c.Refresh(t.Context())
			require.Equal(t, satchel.Revoked, c.Status().State)
			require.Equal(t, "(none)", value(c, "A"))
			s.become(fails(errDown))
			_, _ = c.Refresh(t.Context())
			require.Equal(t, satchel.Revoked, c.Status().State, "a revoked layer stays revoked in an outage")

			s.become(gives(bundleOf(secret("A", "2"))))
			_, err := c.Refresh(t.Context())
			require.NoError(t, err)
			status = c.Status()
			require.Equal(t, satchel.Fresh, status.State)
			require.NoError(t, status.LastError)
			require.Zero(t, status.Attempts)
			require.Equal(t, "2", value(c, "A"))
			require.NoError(t, stop())

			time.Sleep(2 * time.Hour)
			require.Equal(t, satchel.Outdated, c.Status().State, "a client without Run becomes outdated too")
		})
	})

	t.Run("stays fresh with a long interval", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, &satchel.Options{Interval: 48 * time.Hour}, newSource("s", gives(nil)))
			run(t, c)
			for range 100 {
				time.Sleep(7 * time.Hour)
				require.Equal(t, satchel.Fresh, c.Status().State, "a client that keeps its interval stays fresh")
			}
		})
	})

	t.Run("has the worst state of the layers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stale := newSource("bootstrap https://example.test", gives(bundleOf(secret("A", "1"))))
			revoked := newSource("github", gives(bundleOf(secret("B", "1"))))
			fresh := newSource("dotenv .env", gives(nil))
			c := newClient(t, nil, stale, revoked, fresh)
			time.Sleep(90 * time.Second)
			stale.become(fails(errDown))
			revoked.become(fails(errRevoked))
			_, _ = c.Refresh(t.Context())
			_, _ = c.Refresh(t.Context())
			status := c.Status()
			require.Equal(t, satchel.Revoked, status.State)
			require.Equal(t, 90*time.Second, status.Age, "the age is the greatest of the layers")
			require.Equal(t, 2, status.Attempts)
			require.ErrorIs(t, status.LastError, errDown)
			require.ErrorIs(t, status.LastError, error(errRevoked))
			require.Len(t, status.Layers, 3)
			require.Equal(t, satchel.LayerStatus{Name: "dotenv .env", NextRefresh: status.Layers[2].NextRefresh}, status.Layers[2])
			first := status.Layers[0].NextRefresh
			if second := status.Layers[1].NextRefresh; second.Before(first) {
				first = second
			}
			require.Equal(t, first, status.NextRefresh, "it is the earliest of the layers")

			for i := range status.Layers {
				status.Layers[i].NextRefresh = time.Now().Add(4 * time.Minute)
			}
			require.Equal(t, strings.TrimSpace(`
revoked
  bootstrap https://example.test: stale, refreshed 1m30s ago, 2 failed attempts, next in 4m0s: connection refused
  github: revoked, refreshed 1m30s ago, 2 failed attempts, next in 4m0s: the token was revoked
  dotenv .env: fresh, refreshed 0s ago, next in 4m0s`), status.String())
			require.Equal(t, "State(7)", satchel.State(7).String())
		})
	})
}

func TestStatus_Revoked(t *testing.T) {
	t.Run("removes the layer's secrets immediately and keeps the others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			lower := newSource("lower", gives(bundleOf(secret("A", "lower"), secret("C", "3"))))
			upper := newSource("upper", gives(bundleOf(secret("A", "upper"), secret("B", "2"))))
			var last []*bundle.Bundle
			c := newClient(t, nil, lower, upper)
			upper.become(func(_ context.Context, b *bundle.Bundle) (*bundle.Bundle, error) {
				last = append(last, b)
				return nil, errRevoked
			})
			changed, err := c.Refresh(t.Context())
			require.ErrorIs(t, err, error(errRevoked))
			require.True(t, changed)
			require.Equal(t, []string{"A=lower", "C=3"}, c.Bundle().Environ())
			_, _ = c.Refresh(t.Context())
			require.NotNil(t, last[0])
			require.Nil(t, last[1], "the client has dropped the bundle, so it cannot be reported as unchanged")
		})
	})

	t.Run("keeps the secrets if OnRevoked returns true", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			var asked notes
			c := newClient(t, &satchel.Options{OnRevoked: func(layer string, err error) bool {
				asked.add("%s: %s", layer, err)
				return len(asked.all()) == 1
			}}, s)
			run(t, c)
			s.become(fails(errRevoked))
			time.Sleep(5 * time.Hour)
			require.Equal(t, []string{"s: the token was revoked"}, asked.all(), "OnRevoked is called once until the layer recovers")
			require.Equal(t, "1", value(c, "A"))
			require.Equal(t, satchel.Revoked, c.Status().State, "the state is revoked either way")

			s.become(gives(bundleOf(secret("A", "2"))))
			_, err := c.Refresh(t.Context())
			require.NoError(t, err)
			s.become(fails(errRevoked))
			_, _ = c.Refresh(t.Context())
			require.Len(t, asked.all(), 2)
			require.Equal(t, "(none)", value(c, "A"))
		})
	})

	t.Run("ends when a fetch succeeds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			run(t, c)
			s.become(fails(errRevoked))
			time.Sleep(5 * time.Hour)
			s.become(gives(bundleOf(secret("A", "1"))))
			time.Sleep(67 * time.Minute)
			require.Equal(t, "1", value(c, "A"), "a revoked layer is retried every four intervals")
			require.Equal(t, satchel.Fresh, c.Status().State)
		})
	})
}

func TestStatus_Log(t *testing.T) {
	t.Run("warns daily of a token that expires soon", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			give := func(meta bundle.Meta) fetchFunc {
				b, err := bundle.New([]bundle.Secret{secret("A", "1")}, &meta)
				require.NoError(t, err)
				return gives(b)
			}
			start := time.Now()
			day := 24 * time.Hour
			s := newSource("s", give(bundle.Meta{TokenID: "first", TokenExpires: start.Add(30 * day)}))
			var log notes
			c := newClient(t, &satchel.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, s)
			run(t, c)
			told := func() int { return strings.Count(log.String(), "must be rotated") }
			time.Sleep(23*day - time.Hour)
			require.Zero(t, told())
			require.False(t, c.Status().Layers[0].TokenDue)
			time.Sleep(2*time.Hour + 2*day)
			require.Equal(t, 3, told(), "one for each day since less than a week is left")
			require.Contains(t, log.String(), "token=first")
			require.True(t, c.Status().Layers[0].TokenDue)
			require.Equal(t, start.Add(30*day), c.Status().Layers[0].TokenExpires)
			require.Contains(t, c.Status().String(), "rotate its token before "+start.Add(30*day).UTC().Format("2006-01-02"))

			s.become(give(bundle.Meta{TokenID: "second", RotateBy: time.Now().Add(day)}))
			time.Sleep(day - time.Hour)
			require.Equal(t, 3, told(), "the new token is not due")
			time.Sleep(2 * time.Hour)
			require.Equal(t, 4, told(), "it is due when RotateBy has passed")

			s.become(give(bundle.Meta{TokenID: "third", TokenExpires: time.Now().Add(3 * day), RotateBy: time.Now().Add(30 * day)}))
			time.Sleep(day)
			require.Equal(t, 5, told(), "RotateBy after the expiry does not suppress the warning")
		})
	})

	t.Run("reports a shadowed value once, with its fix", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			line := func(value, number string) bundle.Secret { return at("A", value, "dotenv", ".env:"+number) }
			platform := newSource("platform", gives(bundleOf(secret("A", "old"), secret("B", "1"))))
			local := newSource("local", gives(bundleOf(line("old", "3"))))
			var log notes
			c := newClient(t, &satchel.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, platform, local)
			run(t, c)
			told := func() int { return strings.Count(log.String(), "shadows") }
			require.Equal(t, 1, told())
			require.Contains(t, log.String(), `to_end_this="remove line 3 of .env"`)
			require.Contains(t, log.String(), "same=true")

			platform.become(gives(bundleOf(secret("A", "old"), secret("B", "2"))))
			time.Sleep(time.Hour)
			require.Equal(t, 1, told(), "a change of another secret is not reported for this one")
			platform.become(gives(bundleOf(secret("A", "rotated"), secret("B", "2"))))
			time.Sleep(time.Hour)
			require.Equal(t, 2, told(), "from now on, the values differ")
			require.Contains(t, log.String(), "same=false")
			local.become(gives(bundleOf(line("old", "4"))))
			time.Sleep(24 * time.Hour)
			require.Equal(t, 2, told(), "a value that moved within its file is the same one")
		})
	})

	t.Run("contains names and origins only at debug level", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
				var log notes
				token := expiring("DEPLOY_TOKEN", "first", time.Now().Add(time.Hour))
				s := newSource("s", gives(bundleOf(token)))
				stop := run(t, newClient(t, &satchel.Options{Logger: loggerTo(&log, level)}, s))
				time.Sleep(2 * time.Hour)
				s.become(gives(bundleOf(secret("DEPLOY_TOKEN", "second"))))
				time.Sleep(time.Hour)
				s.become(fails(errRevoked))
				time.Sleep(time.Hour)
				require.NoError(t, stop())
				require.Contains(t, log.String(), "secret expired")
				require.Equal(t, level == slog.LevelDebug, strings.Contains(log.String(), "DEPLOY_TOKEN"), "names appear at debug level only")
				require.Equal(t, level == slog.LevelDebug, strings.Contains(log.String(), "second-place"))
			}
		})
	})

	t.Run("contains the beginning and the end of an outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log notes
			s := newSource("platform", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, &satchel.Options{Logger: loggerTo(&log, slog.LevelInfo)}, s)
			run(t, c)
			require.Empty(t, log.String(), "a successful start logs nothing")
			s.become(fails(errDown))
			time.Sleep(72 * time.Hour)
			s.become(gives(bundleOf(secret("A", "2"))))
			time.Sleep(6 * time.Minute)
			for _, part := range []string{
				`level=WARN msg="layer changed state" layer=platform from=fresh to=stale error="connection refused"`,
				`level=WARN msg="layer changed state" layer=platform from=stale to=outdated error="connection refused"`,
				`level=INFO msg="layer changed state" layer=platform from=outdated to=fresh`,
				`level=INFO msg="secrets changed" added=0 changed=1 removed=0`,
			} {
				require.Equal(t, 1, strings.Count(log.String(), part), "want %s once in\n%s", part, &log)
			}
			require.Len(t, log.all(), 4, "no retry is logged:\n%s", &log)
		})
	})

	t.Run("names the error that delays New", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log notes
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err := satchel.New(ctx, []bundle.Provider{newSource("platform", fails(errDown))}, &satchel.Options{Logger: loggerTo(&log, slog.LevelInfo)})
			require.Error(t, err)
			require.Len(t, log.all(), 1, "one line, not one for every attempt:\n%s", &log)
			require.Contains(t, log.String(), `level=WARN msg="first fetch failed" layer=platform error="connection refused"`)
		})
	})
}

func TestObserver_Waiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log notes
		var attempts atomic.Int32
		waiting := map[string]int{}
		flaky := newSource("flaky", func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
			if attempts.Add(1) < 4 {
				return nil, errDown
			}
			return bundle.New([]bundle.Secret{{Name: "A"}}, nil)
		})
		opts := &satchel.Options{Logger: loggerTo(&log, slog.LevelInfo), Observer: satchel.Observer{
			Waiting: func(layer string, err error) { waiting[layer+": "+err.Error()]++ },
		}}
		c := newClient(t, opts, newSource("good", gives(nil)), flaky)
		require.Equal(t, map[string]int{"flaky: connection refused": 3}, waiting, "one call for each failed attempt")
		require.Empty(t, log.String(), "the observer is called instead of the log")

		flaky.become(fails(errDown))
		_, err := c.Refresh(t.Context())
		require.Error(t, err)
		require.Equal(t, map[string]int{"flaky: connection refused": 3}, waiting, "no call after New has returned")
		require.Contains(t, log.String(), `msg="layer changed state" layer=flaky from=fresh to=stale`)

		permanent := &bundle.FetchError{Kind: bundle.FetchPermanent, Err: errDown}
		_, err = satchel.New(t.Context(), []bundle.Provider{newSource("broken", fails(permanent))}, opts)
		require.ErrorIs(t, err, errDown)
		require.Len(t, waiting, 1, "no call for an error that New returns")
	})
}
