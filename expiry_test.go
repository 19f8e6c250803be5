package satchel_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

func TestExpiry(t *testing.T) {
	t.Run("removes a secret on time, even in an outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			s := newSource("s", gives(bundleWith(bundle.Meta{Revision: "1", Problems: []bundle.Problem{{Name: "X", Reason: "is elsewhere"}}},
				expiring("A", "1", start.Add(90*time.Minute)), expiring("B", "2", start.Add(3*time.Hour)), secret("C", "3"))))
			var changes notes
			c := newClient(t, &satchel.Options{Observer: satchel.Observer{
				Changed: func(d bundle.Diff) { changes.add("%s %s", time.Since(start), d) },
			}}, s)
			s.become(fails(errDown))
			run(t, c)

			time.Sleep(90*time.Minute - time.Nanosecond)
			require.Equal(t, "1", value(c, "A"))
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			require.Equal(t, "(none)", value(c, "A"))
			require.Equal(t, []bundle.Problem{
				{Name: "X", Reason: "is elsewhere"},
				{Name: "A", Origin: bundle.Origin{Provider: "test", Location: "1-place"}, Reason: "expired at 2000-01-01T01:30:00Z", Retryable: true},
			}, c.Bundle().Problems(), "the problem explains the missing secret")
			require.Equal(t, "1", c.Bundle().Revision(), "the other metadata stays")
			require.Equal(t, "2", value(c, "B"))

			time.Sleep(24 * time.Hour)
			require.Equal(t, []string{"C=3"}, c.Bundle().Environ())
			require.Equal(t, []string{"1h30m0s removed A", "3h0m0s removed B"}, changes.all())

			s.become(gives(bundleOf(expiring("A", "new", time.Now().Add(time.Hour)))))
			time.Sleep(6 * time.Minute)
			require.Equal(t, "new", value(c, "A"))
			require.Empty(t, c.Bundle().Problems(), "the problem ends when the secret is back")
		})
	})

	t.Run("follows a shorter expiry from a refresh", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(expiring("A", "1", time.Now().Add(time.Hour)))))
			c := newClient(t, nil, s)
			run(t, c)
			s.become(gives(bundleOf(expiring("A", "2", time.Now().Add(8*time.Second)))))
			_, err := c.Refresh(t.Context())
			require.NoError(t, err)
			time.Sleep(8*time.Second - 1)
			require.Equal(t, "2", value(c, "A"))
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			require.Equal(t, "(none)", value(c, "A"))
		})
	})

	t.Run("uncovers the value of a lower layer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			bottom := newSource("bottom", gives(bundleOf(secret("A", "bottom"))))
			lower := newSource("lower", gives(bundleOf(expiring("A", "lower", start.Add(2*time.Hour)))))
			upper := newSource("upper", gives(bundleOf(expiring("A", "upper", start.Add(time.Hour)))))
			c := newClient(t, nil, bottom, lower, upper)
			run(t, c)
			require.Equal(t, "upper", value(c, "A"))
			time.Sleep(time.Hour)
			synctest.Wait()
			require.Equal(t, "lower", value(c, "A"))
			time.Sleep(time.Hour)
			synctest.Wait()
			require.Equal(t, "bottom", value(c, "A"))
			require.Equal(t, 1, len(c.Bundle().Trace("A")), "an expired secret is removed, not shadowed")
		})
	})

	t.Run("reports a problem for a secret that arrives expired", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(expiring("A", "1", time.Now().Add(-time.Second)), expiring("B", "2", time.Now()))))
			c := newClient(t, nil, s)
			require.Zero(t, c.Bundle().Len(), "a secret is expired at its expiry, not only after it")
			require.Len(t, c.Bundle().Problems(), 2)
			before := c.Bundle()
			_, err := c.Refresh(t.Context())
			require.NoError(t, err)
			require.Same(t, before, c.Bundle(), "the same problem again is not a change")
		})
	})

	t.Run("is logged once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log notes
			s := newSource("s", gives(bundleOf(expiring("A", "1", time.Now().Add(time.Hour)), expiring("B", "1", time.Now().Add(-time.Hour)))))
			c := newClient(t, &satchel.Options{Logger: loggerTo(&log, slog.LevelWarn)}, s)
			run(t, c)
			time.Sleep(24 * time.Hour)
			require.Len(t, log.all(), 1, "one line for the secret that expired; none for the one that arrived expired, and none later:\n%s", &log)
			require.Contains(t, log.String(), `msg="secret expired" layer=s`)
		})
	})

	t.Run("takes effect at a refresh without Run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(expiring("A", "1", time.Now().Add(time.Hour)))))
			c := newClient(t, nil, s)
			s.become(fails(errDown))
			time.Sleep(2 * time.Hour)
			changed, err := c.Refresh(t.Context())
			require.ErrorIs(t, err, errDown)
			require.True(t, changed)
			require.Equal(t, "(none)", value(c, "A"))
		})
	})
}
