package satchel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

// failure is one way in which a platform fails, and the resulting error.
type failure struct {
	name       string
	cause      func(f *failing)
	kind       bundle.FetchKind
	retryAfter time.Duration
	// hourly is the maximum number of fetches in any hour. Pauses drawn evenly from 1
	// to 60 s make 118 fetches on average with a deviation of 7, and the first six
	// pauses are shorter. Errors that need a fix have such pauses for 15 minutes.
	hourly int
}

var failures = []failure{
	{"unreachable", func(f *failing) { f.unreachable.Store(true) }, bundle.FetchUnavailable, 0, 165},
	{"401 for a revoked token", func(f *failing) { f.revoke() }, bundle.FetchRevoked, 0, 65},
	{"401 of a proxy", answers(http.StatusUnauthorized, ""), bundle.FetchUnavailable, 0, 165},
	{"403 of a proxy", answers(http.StatusForbidden, ""), bundle.FetchUnavailable, 0, 165},
	{"403", refuses(http.StatusForbidden, wire.NotAllowedProblem, ""), bundle.FetchPermanent, 0, 65},
	{"429 with Retry-After", refuses(http.StatusTooManyRequests, wire.TooManyProblem, "420"), bundle.FetchUnavailable, 7 * time.Minute, 9},
	{"429 of a proxy with Retry-After", answers(http.StatusTooManyRequests, "420"), bundle.FetchUnavailable, 50 * time.Second, 73},
	{"429 without Retry-After", answers(http.StatusTooManyRequests, ""), bundle.FetchUnavailable, 0, 165},
	{"500", answers(http.StatusInternalServerError, ""), bundle.FetchUnavailable, 0, 165},
	{"503 with Retry-After", refuses(http.StatusServiceUnavailable, wire.UnavailableProblem, "840"), bundle.FetchUnavailable, 14 * time.Minute, 5},
	{"503 without Retry-After", answers(http.StatusServiceUnavailable, ""), bundle.FetchUnavailable, 0, 165},
	{"garbage", faults(vaulttest.Garbage()), bundle.FetchUnavailable, 0, 165},
	{"slow", faults(vaulttest.Trickle(time.Millisecond)), bundle.FetchUnavailable, 0, 165},
	{"cut body", faults(vaulttest.Cut()), bundle.FetchUnavailable, 0, 165},
}

// refuses answers with a problem document of the platform.
func refuses(code int, problem, retryAfter string) func(*failing) {
	return faults(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.Header().Set("Content-Type", wire.ProblemType)
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"type":%q,"status":%d}`, problem, code)
	}))
}

func faults(fault http.Handler) func(*failing) {
	return func(f *failing) { f.platform.Fail(fault) }
}

func answers(code int, retryAfter string) func(*failing) {
	return faults(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
	}))
}

// failing is a platform that can be made to fail, and a provider for it.
type failing struct {
	platform    *vaulttest.Platform
	provider    *providers.Platform
	unreachable atomic.Bool
	revoke      func()
}

func newFailing(t *testing.T) *failing {
	f := &failing{platform: vaulttest.NewPlatform(t)}
	f.platform.Put(t, "acme", "A", "1")
	token, info, err := f.platform.Vault.IssueToken(t.Context(), "acme", nil)
	require.NoError(t, err)
	f.revoke = func() { require.NoError(t, f.platform.Vault.RevokeToken(t.Context(), info.ID)) }

	unused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, unused.Close(), "its address refuses connections from now on")
	transport := f.platform.Client.Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if f.unreachable.Load() {
			addr = unused.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	f.provider = &providers.Platform{
		URL:     f.platform.URL,
		Token:   func(context.Context) (bundle.Value, error) { return token, nil },
		Client:  &http.Client{Transport: transport},
		Timeout: time.Second, // the slow platform takes longer
	}
	return f
}

// TestFailures_Kinds checks that a real platform and network cause the kinds of
// errors to which the limits below apply.
func TestFailures_Kinds(t *testing.T) {
	for _, row := range failures {
		t.Run(row.name, func(t *testing.T) {
			f := newFailing(t)
			c := newClient(t, nil, f.provider)
			row.cause(f)
			_, err := c.Refresh(t.Context())
			e, ok := errors.AsType[*bundle.FetchError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, row.kind.String(), e.Kind.String(), "%v", err)
			require.Equal(t, row.retryAfter, e.RetryAfter, "%v", err)
			want := "1"
			if row.kind == bundle.FetchRevoked {
				want = "(none)"
			}
			require.Equal(t, want, value(c, "A"), "only a revocation removes secrets")
		})
	}
}

func TestFailures_HourlyLimit(t *testing.T) {
	for _, row := range failures {
		for _, waits := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, waits is %t", row.name, waits), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSource("s", gives(bundleOf(secret("A", "1"))))
					fail := fails(&bundle.FetchError{Kind: row.kind, RetryAfter: row.retryAfter, Err: errDown})
					w := &waiting{s, hangs}
					var p bundle.Provider = s
					if waits {
						p = w
					}
					c := newClient(t, nil, p)
					s.become(fail)
					w.wait = fail
					_, err := c.Refresh(t.Context())
					require.Error(t, err)
					run(t, c)
					time.Sleep(24 * time.Hour)
					calls := s.fetched()[1:]
					for i, first := range calls {
						n := 0
						for n < len(calls)-i && calls[i+n].Sub(first) < time.Hour {
							n++
						}
						require.LessOrEqual(t, n, row.hourly, "in the hour from %s", first)
					}
					require.LessOrEqual(t, len(s.waited()), 1, "waiting adds at most one call in total")
					require.False(t, s.overlapped())
				})
			})
		}
	}
}

func TestFailures_Recovery(t *testing.T) {
	for _, row := range failures {
		for _, n := range []int{1, 2, 5, 20} {
			t.Run(fmt.Sprintf("%s, %d times", row.name, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					left := 0
					good := bundleOf(secret("A", "1"))
					failOr := func(next fetchFunc) fetchFunc {
						return func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
							if left > 0 {
								left--
								return nil, &bundle.FetchError{Kind: row.kind, RetryAfter: row.retryAfter, Err: errDown}
							}
							return next(ctx, last)
						}
					}
					w := &waiting{newSource("s", failOr(gives(good))), failOr(hangs)}
					var recovered []time.Time
					c := newClient(t, &satchel.Options{Logger: slog.New(slog.DiscardHandler), Observer: satchel.Observer{
						StateChanged: func(_ string, _, to satchel.State) {
							if to == satchel.Fresh {
								recovered = append(recovered, time.Now())
							}
						},
					}}, w)
					left = n
					before := len(w.fetched())
					_, err := c.Refresh(t.Context())
					require.Error(t, err)
					stop := run(t, c)
					time.Sleep(100 * time.Hour)
					require.NoError(t, stop())
					require.Len(t, recovered, 1, "it recovers once and stays fresh")
					fetches := 0
					for _, at := range w.fetched()[before:] {
						if !at.After(recovered[0]) {
							fetches++
						}
					}
					require.LessOrEqual(t, fetches, n+1, "N failures and one success")
					require.Equal(t, "1", value(c, "A"))
				})
			})
		}
	}
}
