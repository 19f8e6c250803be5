package vaulthttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, token, revision := begin(t)
		var drain vaulthttp.Drain
		runners, ready := f.handler(vaulthttp.Options{Drain: &drain}), vaulthttp.Ready(f.Vault, &drain)
		poll := func(etag string) *httptest.ResponseRecorder {
			return get(t.Context(), runners, path, token, "If-None-Match", etag, "Prefer", "wait=50")
		}
		ask := func(etag string) <-chan *httptest.ResponseRecorder {
			answer := make(chan *httptest.ResponseRecorder, 1)
			go func() { answer <- poll(etag) }()
			synctest.Wait()
			return answer
		}
		tag := `"` + revision + `"`
		waiting := ask(tag)
		require.Equal(t, 200, healthOf(t, ready, "GET").status)

		began := time.Now()
		started := make(chan time.Duration, 1)
		go func() {
			drain.Start(t.Context(), 10*time.Second)
			started <- time.Since(began)
		}()
		synctest.Wait()
		got := healthOf(t, ready, "GET")
		requireRefusal(t, got, 503, "This process is shutting down", "load balancers are told immediately")
		require.NotEmpty(t, got.header.Get("Retry-After"))
		late := ask(tag)
		require.Equal(t, 200, poll("").Code, "requests are served as usual")
		time.Sleep(9 * time.Second)
		require.Empty(t, waiting, "runners keep waiting meanwhile")

		require.Equal(t, 10*time.Second, <-started)
		for _, answer := range []<-chan *httptest.ResponseRecorder{waiting, late} {
			w := <-answer
			require.Equal(t, 10*time.Second, time.Since(began))
			require.Equal(t, "5", w.Header().Get("Retry-After"))
			requireProblem(t, w, 503, wire.UnavailableProblem, "")
		}
		w := poll(tag)
		require.Equal(t, 10*time.Second, time.Since(began), "a new request does not wait")
		require.Equal(t, "5", w.Header().Get("Retry-After"))
		requireProblem(t, w, 503, wire.UnavailableProblem, "")
		require.Equal(t, 304, get(t.Context(), runners, path, token, "If-None-Match", tag).Code, "a request that would not wait is served")
		require.Equal(t, 200, poll(`"other"`).Code, "a runner that needs a bundle gets it")
		require.NotContains(t, f.Log.Text(), "level=ERROR", "a shutdown is not a failure")
		require.Equal(t, 200, healthOf(t, vaulthttp.Health(), "GET").status, "the process is alive")
	})
}

func TestDrain_Start(t *testing.T) {
	t.Run("ends its delay with its context and may be repeated", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			var drain vaulthttp.Drain
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			drain.Start(ctx, time.Hour)
			require.Equal(t, time.Second, time.Since(began), "the end of the context ends the delay")
			drain.Start(ctx, time.Hour)
			w := get(t.Context(), f.handler(vaulthttp.Options{Drain: &drain}), path, token, "If-None-Match", `"`+revision+`"`, "Prefer", "wait=50")
			require.Equal(t, 503, w.Code, "it may be called before the first request, and twice")
			require.Equal(t, time.Second, time.Since(began))
		})
	})
}

func TestRunners_Shutdown(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1.1": (*httptest.Server).Start,
		"HTTP/2": func(s *httptest.Server) {
			s.EnableHTTP2 = true
			s.StartTLS()
		},
	} {
		t.Run("ends the waits over "+name, func(t *testing.T) {
			f, token, revision := begin(t)
			handler := f.handler()
			server, other := httptest.NewUnstartedServer(handler), httptest.NewServer(handler)
			defer other.Close()
			start(server)
			defer server.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			poll := func(server *httptest.Server) <-chan *http.Response {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
				require.NoError(t, err)
				r.Header.Set("Authorization", "Bearer "+token.Reveal())
				r.Header.Set("If-None-Match", `"`+revision+`"`)
				r.Header.Set("Prefer", "wait=50")
				answer := make(chan *http.Response, 1)
				go func() {
					defer close(answer)
					res, err := server.Client().Do(r)
					if err == nil {
						_ = res.Body.Close()
						answer <- res
					}
				}()
				return answer
			}
			before := f.Storage.Calls()
			answers := []<-chan *http.Response{poll(server), poll(server), poll(server)}
			elsewhere := poll(other)
			require.Eventually(t, func() bool { return f.Storage.Calls() > before+10 }, 10*time.Second, 10*time.Millisecond, "the runners wait: the storage is polled for changes")
			began := time.Now()
			require.NoError(t, server.Config.Shutdown(t.Context()))
			require.Less(t, time.Since(began), 20*time.Second, "the server ends before the waits would")
			for _, answer := range answers {
				res := <-answer
				require.NotNil(t, res)
				require.Equal(t, 503, res.StatusCode)
				require.Equal(t, "5", res.Header.Get("Retry-After"))
			}
			require.Empty(t, elsewhere, "runners of another server with the same handler keep waiting")
			cancel()
			<-elsewhere
		})
	}
}
