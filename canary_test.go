package satchel_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

func TestCanary(t *testing.T) {
	const canary = "c4n4ry-in-the-m1ne"
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"text": func(out io.Writer) slog.Handler {
			return slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})
		},
		"json": func(out io.Writer) slog.Handler {
			return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log, rest notes
				say := func(args ...any) {
					for _, arg := range args {
						rest.add("%v %+v %#v %s %q\n", arg, arg, arg, arg, arg)
					}
				}
				sealed := func(name string, version int) bundle.Secret {
					return bundle.Secret{Name: name, Value: bundle.NewValue(fmt.Sprint(canary, version)), Origin: bundle.Origin{Provider: "vault", Location: "acme/web"}}
				}
				short := sealed("SHORT", 1)
				short.Expires = time.Now().Add(time.Hour)
				w := &waiting{newSource("platform", gives(bundleOf(sealed("KEY", 1), short))), hangs}
				opts := &satchel.Options{
					Logger:    slog.New(handler(&log)),
					OnRevoked: func(layer string, err error) bool { say(layer, err); return false },
					Observer: satchel.Observer{
						Fetched:      func(layer string, took time.Duration, err error) { say(layer, took, err) },
						Waiting:      func(layer string, err error) { say(layer, err) },
						Changed:      func(d bundle.Diff) { say(d) },
						StateChanged: func(layer string, from, to satchel.State) { say(layer, from, to) },
					},
				}
				c := newClient(t, opts, w, newSource("local", gives(bundleOf(sealed("KEY", 0)))))
				look := func() {
					_, err := c.Refresh(t.Context())
					say(err, c.Status(), c.Bundle())
				}
				stop := run(t, c)
				look()
				w.become(gives(bundleOf(sealed("KEY", 2), sealed("NEW", 1), short)))
				look()
				w.become(fails(&bundle.FetchError{Err: errDown}))
				look()
				time.Sleep(30 * time.Hour) // SHORT expires, and the layer becomes outdated
				look()
				w.become(fails(errPermanent))
				look()
				w.become(fails(errRevoked))
				look()
				w.become(hangs)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				_, err := c.Refresh(ctx)
				cancel()
				say(err)
				w.become(gives(bundleOf(sealed("KEY", 3))))
				time.Sleep(3 * time.Hour)
				look()
				require.NoError(t, stop())
				say(c, opts)

				require.Contains(t, fmt.Sprint(c.Bundle().Environ()), "c4n4ry", "the canary must be in the bundle, or the test proves nothing")
				require.NotContains(t, log.String(), "c4n4ry")
				require.NotContains(t, rest.String(), "c4n4ry")
				require.Contains(t, log.String(), "SHORT", "the log has names at debug level")
				require.Contains(t, log.String(), "vault acme/web", "and origins")
				for _, state := range []string{"fresh", "stale", "outdated", "revoked"} {
					require.Contains(t, log.String(), state, "the run must pass through every state")
				}
			})
		})
	}
}
