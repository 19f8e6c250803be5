package providers_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

func TestPlatform_Wait(t *testing.T) {
	t.Run("returns as soon as the platform responds", func(t *testing.T) {
		changed := atomic.Pointer[chan struct{}]{}
		handler := func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") == "" {
				writeAnswer(w, "rev-1", "old")
				return
			}
			if r.Header.Get("If-None-Match") != `"rev-1"` || r.Header.Get("Prefer") != "wait=50" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			<-*changed.Load()
			writeAnswer(w, "rev-2", "new")
		}
		inBubble(t, handler, func(t *testing.T, b *providers.Platform) {
			c := make(chan struct{})
			changed.Store(&c)
			last, err := b.Wait(t.Context(), nil)
			require.NoError(t, err, "without last, Wait is Fetch")

			start := time.Now()
			time.AfterFunc(40*time.Second, func() { close(c) }) // longer than Timeout
			next, err := b.Wait(t.Context(), last)
			require.NoError(t, err)
			require.Equal(t, 40*time.Second, time.Since(start), "a change arrives immediately")
			require.Equal(t, []string{"A"}, bundle.Compare(last, next).Changed)
		})
	})

	t.Run("returns last if nothing changed in time", func(t *testing.T) {
		handler := func(w http.ResponseWriter, r *http.Request) {
			if wait := wire.Wait(r.Header.Values("Prefer")); wait > 0 {
				time.Sleep(wait)
				w.WriteHeader(http.StatusNotModified)
				return
			}
			writeAnswer(w, "rev-1", "x")
		}
		inBubble(t, handler, func(t *testing.T, b *providers.Platform) {
			last, err := b.Fetch(t.Context(), nil)
			require.NoError(t, err)
			start := time.Now()
			got, err := b.Wait(t.Context(), last)
			require.NoError(t, err)
			require.Same(t, last, got)
			require.Equal(t, 50*time.Second, time.Since(start))
		})
	})

	// A loop over Wait must not cause a storm of requests.
	t.Run("sends one request per 50 seconds to a platform that cannot wait", func(t *testing.T) {
		for name, unchanged := range map[string]http.HandlerFunc{
			"304": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
			"200": func(w http.ResponseWriter, _ *http.Request) { writeAnswer(w, "rev-1", "x") },
		} {
			t.Run(name, func(t *testing.T) {
				var requests atomic.Int64
				handler := func(w http.ResponseWriter, r *http.Request) {
					requests.Add(1)
					if r.Header.Get("If-None-Match") == "" {
						writeAnswer(w, "rev-1", "x")
						return
					}
					unchanged(w, r)
				}
				inBubble(t, handler, func(t *testing.T, b *providers.Platform) {
					last, err := b.Fetch(t.Context(), nil)
					require.NoError(t, err)
					requests.Store(0)
					start := time.Now()
					for range 72 {
						got, err := b.Wait(t.Context(), last)
						require.NoError(t, err)
						require.Same(t, last, got)
					}
					require.Equal(t, time.Hour, time.Since(start))
					require.EqualValues(t, 72, requests.Load(), "one request for each Wait")
				})
			})
		}
	})

	t.Run("is bounded if the platform never responds", func(t *testing.T) {
		handler := func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") == "" {
				writeAnswer(w, "rev-1", "x")
				return
			}
			<-r.Context().Done()
		}
		inBubble(t, handler, func(t *testing.T, b *providers.Platform) {
			last, err := b.Fetch(t.Context(), nil)
			require.NoError(t, err)
			b.Timeout = 20 * time.Second
			start := time.Now()
			got, err := b.Wait(t.Context(), last)
			remotetest.RequireKind(t, err, bundle.FetchUnavailable)
			require.Nil(t, got)
			require.Equal(t, 58*time.Second, time.Since(start), "a lost connection is replaced within a minute")
			b.Timeout = 5 * time.Second
			start = time.Now()
			_, err = b.Wait(t.Context(), last)
			remotetest.RequireKind(t, err, bundle.FetchUnavailable)
			require.Equal(t, 55*time.Second, time.Since(start), "the wait plus Timeout")
			require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")
		})
	})

	t.Run("ends with its context", func(t *testing.T) {
		for name, unchanged := range map[string]http.HandlerFunc{
			"while the platform waits":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			"while Wait delays its return": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
			"while the response trickles":  func(w http.ResponseWriter, r *http.Request) { trickle(w, r) },
			"while the response is a 401": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", wire.ProblemType)
				w.WriteHeader(401)
				trickle(w, r)
			},
		} {
			t.Run(name, func(t *testing.T) {
				handler := func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("If-None-Match") == "" {
						writeAnswer(w, "rev-1", "x")
						return
					}
					unchanged(w, r)
				}
				inBubble(t, handler, func(t *testing.T, b *providers.Platform) {
					last, err := b.Fetch(t.Context(), nil)
					require.NoError(t, err)
					ctx, cancel := context.WithCancel(t.Context())
					start := time.Now()
					time.AfterFunc(7*time.Second, cancel)
					got, err := b.Wait(ctx, last)
					require.Nil(t, got)
					require.ErrorIs(t, err, context.Canceled)
					remotetest.RequireKind(t, err, bundle.FetchUnavailable)
					require.EqualError(t, err, "bootstrap http://localhost: context canceled")
					require.Equal(t, 7*time.Second, time.Since(start))
				})
			})
		}
	})
}

// trickle writes a byte per second until the client disconnects.
func trickle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for r.Context().Err() == nil {
		_, _ = w.Write([]byte(" "))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
		}
	}
}

func TestPlatform_Context(t *testing.T) {
	t.Run("ends the request", func(t *testing.T) {
		var gone atomic.Bool
		handler := func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			gone.Store(true)
		}
		inBubble(t, handler, func(t *testing.T, b *providers.Platform) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := b.Fetch(ctx, nil)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			synctest.Wait()
			require.True(t, gone.Load(), "the request is canceled at the platform")
		})
	})

	t.Run("sends nothing if it has already ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b := &providers.Platform{URL: "https://satchel.example.com", Client: remotetest.RefuseDial(t), Token: func(context.Context) (bundle.Value, error) {
			t.Error("Token was called")
			return bundle.Value{}, nil
		}}
		_, err := b.Fetch(ctx, nil)
		require.ErrorIs(t, err, context.Canceled)
		_, err = b.Wait(ctx, nil)
		require.ErrorIs(t, err, context.Canceled)
	})

	t.Run("and Timeout bound the Token function", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &providers.Platform{URL: "https://satchel.example.com", Client: remotetest.RefuseDial(t), Token: func(ctx context.Context) (bundle.Value, error) {
				<-ctx.Done()
				return bundle.Value{}, ctx.Err()
			}}
			start := time.Now()
			_, err := b.Fetch(t.Context(), nil)
			require.ErrorContains(t, err, "getting the runner token")
			require.Equal(t, 30*time.Second, time.Since(start))

			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err = b.Fetch(ctx, nil)
			require.ErrorIs(t, err, context.Canceled)
		})
	})
}
