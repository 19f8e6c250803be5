package satchel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
)

func TestRedactor(t *testing.T) {
	t.Run("masks the client's secrets in a log handler", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log notes
			r := redact.New()
			logger := slog.New(redact.Handler(slog.NewTextHandler(&log, nil), r))
			logger.Info("without a client: value-one")
			require.Contains(t, log.String(), "value-one")
			s := newSource("s", gives(bundleOf(secret("KEY", "value-one"))))
			c := newClient(t, &satchel.Options{Redactor: r, Logger: logger}, s)
			logger.Info("calling", "url", "https://ci:value-one@example.com")
			require.Contains(t, log.String(), "https://ci:[KEY]@example.com", "the values of the first bundle are masked")

			refreshTo(t, c, s, bundleOf(secret("KEY", "value-two"), secret("NEW", "value-new")))
			logger.Info("got value-two and value-new, had value-one")
			require.Contains(t, log.String(), "got [KEY] and [NEW], had [KEY]", "and those of each later bundle")

			s.become(fails(fmt.Errorf("requesting with value-two: %w", errDown)))
			_, err := c.Refresh(t.Context())
			require.ErrorIs(t, err, errDown)
			require.Contains(t, log.String(), "requesting with [KEY]: connection refused", "the client's log lines are masked too")
		})
	})

	t.Run("keeps removed, expired and revoked values masked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := redact.NewWithOptions(&redact.Options{KeepFor: time.Hour})
			s := newSource("platform", gives(bundleOf(secret("TOKEN", "revoked-value"), secret("OLD", "removed-value"))))
			brief := expiring("BRIEF", "expired-value", time.Now().Add(time.Minute))
			c := newClient(t, &satchel.Options{Redactor: r}, s, newSource("local", gives(bundleOf(brief))))
			run(t, c)
			const text = "revoked-value removed-value expired-value"
			require.Equal(t, "[TOKEN] [OLD] [BRIEF]", r.String(text))

			refreshTo(t, c, s, bundleOf(secret("TOKEN", "revoked-value")))
			require.Equal(t, "(none)", value(c, "OLD"))
			require.Equal(t, "[TOKEN] [OLD] [BRIEF]", r.String(text), "removed")

			time.Sleep(2 * time.Minute)
			require.Equal(t, "(none)", value(c, "BRIEF"))
			require.Equal(t, "[TOKEN] [OLD] [BRIEF]", r.String(text), "expired")

			s.become(fails(errRevoked))
			_, err := c.Refresh(t.Context())
			require.ErrorIs(t, err, errRevoked)
			require.Zero(t, c.Bundle().Len())
			require.Equal(t, "[TOKEN] [OLD] [BRIEF]", r.String(text), "revoked")

			time.Sleep(time.Hour)
			require.Equal(t, "revoked-value removed-value [BRIEF]", r.String(text), "after KeepFor, only values that the client still holds are masked")
		})
	})

	t.Run("serves two clients with nested handlers", func(t *testing.T) {
		var log notes
		first, second := redact.New(), redact.New()
		newClient(t, &satchel.Options{Redactor: first}, newSource("s", gives(bundleOf(secret("A", "value-one")))))
		newClient(t, &satchel.Options{Redactor: second}, newSource("s", gives(bundleOf(secret("B", "value-two")))))
		logger := slog.New(redact.Handler(redact.Handler(slog.NewTextHandler(&log, nil), first), second))
		logger.With("k", "value-one").Info("value-one value-two")
		require.Contains(t, log.String(), `msg="[A] [B]" k=[A]`)
	})

	// A reader that polls continuously never sees an unmasked value.
	t.Run("masks a value before the bundle has it", func(t *testing.T) {
		for range 10 {
			r := redact.New()
			s := newSource("s", gives(bundleOf(secret("KEY", "value-000"))))
			c := newClient(t, &satchel.Options{Redactor: r}, s)
			ctx, stop := context.WithCancel(t.Context())
			var group sync.WaitGroup
			group.Go(func() {
				for ctx.Err() == nil {
					if got := r.String(value(c, "KEY")); got != "[KEY]" {
						t.Errorf("the bundle has %q, which is not masked", got)
						return
					}
					runtime.Gosched()
				}
			})
			for i := range 50 {
				refreshTo(t, c, s, bundleOf(secret("KEY", fmt.Sprintf("value-%03d", i))))
			}
			stop()
			group.Wait()
		}
	})
}

func TestRedactor_KeepFor(t *testing.T) {
	for _, keep := range []time.Duration{0, time.Hour} {
		t.Run(fmt.Sprintf("KeepFor is %s", keep), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := redact.NewWithOptions(&redact.Options{KeepFor: keep})
				s := newSource("s", gives(bundleOf(secret("KEY", "value-one"))))
				c := newClient(t, &satchel.Options{Redactor: r}, s)
				run(t, c)
				time.Sleep(48 * time.Hour)
				require.Equal(t, "[KEY]", r.String("value-one"), "a current value does not age")

				refreshTo(t, c, s, bundleOf(secret("KEY", "value-two")))
				if keep == 0 {
					keep = 24 * time.Hour // the default
				}
				time.Sleep(keep - time.Nanosecond)
				require.Equal(t, "[KEY] [KEY]", r.String("value-one value-two"), "an old value is masked for that time")
				time.Sleep(time.Nanosecond)
				require.Equal(t, "value-one [KEY]", r.String("value-one value-two"), "and not afterwards")
			})
		})
	}
}

func TestDerive_MaskedError(t *testing.T) {
	for _, row := range []struct {
		about, value, other string
		failure             func(value string) error
		want                string
	}{
		{"unchanged", "s3cr3t-value", "x", func(v string) error { return errors.New("using " + v) }, "using [A]"},
		{"quoted", "pass \"word\"\n", "x", func(v string) error { return fmt.Errorf("using %q", v) }, `using "[A]"`},
		{"short", "8675", "x", func(v string) error { return errors.New("using " + v) }, "using [A]"},
		{"short and quoted", "a\tb", "x", func(v string) error { return fmt.Errorf("using %q", v) }, `using "[A]"`},
		{"short and escaped", "a/b?", "x", func(v string) error { return errors.New("using " + url.QueryEscape(v)) }, "using [A]"},
		{"short inside a long one", "86", "value-8675309", func(v string) error { return errors.New("86 value-8675309") }, "[A] [B]"},
		{"short inside a marker", "B", "s3cr3t-value", func(v string) error { return errors.New("B s3cr3t-value") }, "[A] [B]"},
		{"the longer of two short ones", "12", "1234", func(v string) error { return errors.New("12 1234") }, "[A] [B]"},
		{"an address that does not parse", "postgres://u:p4ssw0rd@[::1", "x", func(v string) error { _, err := url.Parse(v); return err }, `parse "[A]": missing ']' in host`},
		{"without a value", "s3cr3t-value", "x", func(v string) error { return errors.New("no such host") }, "no such host"},
	} {
		t.Run(row.about, func(t *testing.T) {
			var log notes
			s := newSource("s", gives(bundleOf(secret("A", "at first"))))
			c := newClient(t, &satchel.Options{Logger: loggerTo(&log, 0)}, s)
			d := satchel.Derive(c, func(b *bundle.Bundle) (string, error) {
				if a := value(c, "A"); a != "at first" {
					return "", errors.Join(row.failure(a), errDown)
				}
				return "built", nil
			}, "A")
			require.Equal(t, "built", mustGet(t, d))
			refreshTo(t, c, s, bundleOf(secret("A", row.value), secret("B", row.other)))
			require.Equal(t, "built", mustGet(t, d))
			err := c.Status().Derived[0].LastError
			require.EqualError(t, err, row.want+"\nconnection refused")
			if len(row.value) >= 6 {
				require.ErrorIs(t, err, errDown, "the error still wraps its cause")
			}
		})
	}
}

func TestClient_Mask(t *testing.T) {
	t.Run("masks every value that the client holds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			platform := newSource("platform", gives(bundleOf(secret("KEY", "platform-value"), expiring("BRIEF", "expired-value", time.Now().Add(-time.Hour)))))
			local := newSource("local", gives(bundleOf(secret("KEY", "local-value"))))
			own := redact.New()
			c := newClient(t, &satchel.Options{Redactor: own}, platform, local)
			run(t, c)
			r := redact.NewWithOptions(&redact.Options{KeepFor: 1000 * time.Hour})
			stop := c.Mask(r)
			for _, each := range []*redact.Redactor{own, r} {
				require.Equal(t, "[KEY] [KEY] [BRIEF]", each.String("platform-value local-value expired-value"), "shadowed and expired values are held")
			}

			refreshTo(t, c, platform, bundleOf(secret("KEY", "platform-second")))
			require.Equal(t, "[KEY] [KEY] [KEY]", r.String("platform-value platform-second local-value"), "a change of a shadowed value")
			refreshTo(t, c, platform, bundleOf(secret("KEY", "platform-third")))
			refreshTo(t, c, local, bundleOf(secret("OTHER", "other-value")))
			time.Sleep(900 * time.Hour)
			require.Equal(t, "[KEY] [KEY] [KEY] [KEY] [OTHER]", r.String("platform-value platform-second platform-third local-value other-value"))
			require.Equal(t, "platform-value platform-second [KEY] local-value [OTHER]", own.String("platform-value platform-second platform-third local-value other-value"),
				"each redactor has its own KeepFor")

			stop()
			stop()
			refreshTo(t, c, local, bundleOf(secret("OTHER", "a-later-value")))
			require.Equal(t, "a-later-value [OTHER]", r.String("a-later-value other-value"))
			require.Equal(t, "[OTHER]", own.String("a-later-value"))
		})
	})

	t.Run("masks a value before the bundle has it", func(t *testing.T) {
		s := newSource("s", gives(bundleOf(secret("KEY", "value-000"))))
		c := newClient(t, nil, s)
		ctx, end := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for ctx.Err() == nil {
					r := redact.New()
					stop := c.Mask(r)
					for range 20 {
						if got := r.String(value(c, "KEY")); got != "[KEY]" {
							t.Errorf("the bundle has %q, which is not masked", got)
						}
						runtime.Gosched()
					}
					stop()
				}
			})
		}
		for i := range 200 {
			refreshTo(t, c, s, bundleOf(secret("KEY", fmt.Sprintf("value-%03d", i))))
		}
		end()
		group.Wait()
	})
}
