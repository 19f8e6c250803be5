package providers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

// refuse sends a problem document.
func refuse(status int, problemType, reason string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", wire.ProblemType)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(wire.Refusal{Type: problemType, Title: "canary-title", Status: status, Detail: "canary-detail", Reason: reason})
	}
}

func TestPlatform_Refusal(t *testing.T) {
	t.Run("has a kind and a fix for each status", func(t *testing.T) {
		const (
			unavailable = bundle.FetchUnavailable
			permanent   = bundle.FetchPermanent
			revoked     = bundle.FetchRevoked
		)
		for name, row := range map[string]struct {
			handler http.HandlerFunc
			status  int
			kind    bundle.FetchKind
			reason  string
			fix     string
		}{
			"revoked":                 {refuse(401, wire.TokenProblem, "revoked"), 401, revoked, "revoked", "issue a new one"},
			"expired":                 {refuse(401, wire.TokenProblem, "expired"), 401, revoked, "expired", "issue a new one"},
			"unknown":                 {refuse(401, wire.TokenProblem, "unknown"), 401, revoked, "unknown", "issued there"},
			"missing":                 {refuse(401, wire.TokenProblem, "missing"), 401, permanent, "missing", "Authorization header"},
			"malformed":               {refuse(401, wire.TokenProblem, "malformed"), 401, permanent, "malformed", "arrived modified"},
			"401 of a later version":  {refuse(401, wire.TokenProblem, "on-holiday"), 401, unavailable, "on-holiday", "check the token"},
			"401 of another problem":  {refuse(401, wire.UnauthorizedProblem, ""), 401, permanent, "", "check the URL"},
			"a later version's type":  {refuse(403, wire.ProblemPrefix+"later", ""), 403, permanent, "", "permission denied"},
			"revoked without a 401":   {refuse(403, wire.TokenProblem, "revoked"), 403, unavailable, "", "check the URL"},
			"too many":                {refuse(429, wire.TooManyProblem, "failures"), 429, unavailable, "failures", "try again later"},
			"integrity":               {refuse(500, wire.IntegrityProblem, ""), 500, unavailable, "", "check the platform"},
			"timeout":                 {remotetest.Plainly(408), 408, unavailable, "", "try again later"},
			"too early":               {remotetest.Plainly(425), 425, unavailable, "", "try again later"},
			"error":                   {remotetest.Plainly(500), 500, unavailable, "", "check the platform"},
			"bad gateway":             {remotetest.Plainly(502), 502, unavailable, "", "check the platform"},
			"down":                    {refuse(503, wire.UnavailableProblem, "key-service"), 503, unavailable, "key-service", "check the platform"},
			"599":                     {remotetest.Plainly(599), 599, unavailable, "", "check the platform"},
			"bad request":             {refuse(400, wire.RequestProblem, ""), 400, permanent, "", "check the runner name"},
			"not allowed":             {refuse(403, wire.NotAllowedProblem, "address"), 403, permanent, "address", "on the platform what this token may do"},
			"not found":               {refuse(404, wire.RequestProblem, ""), 404, permanent, "", "check the base URL, which must not include /runners/bootstrap"},
			"method":                  {refuse(405, wire.RequestProblem, ""), 405, permanent, "", "check the base URL"},
			"choices":                 {refuse(300, wire.RequestProblem, ""), 300, unavailable, "", "check the URL"},
			"a reason of many words":  {refuse(403, wire.NotAllowedProblem, "canary says hello"), 403, permanent, "", "permission denied"},
			"a reason like a token":   {refuse(403, wire.NotAllowedProblem, "rnt_abc"), 403, permanent, "", "permission denied"},
			"a long reason":           {refuse(403, wire.NotAllowedProblem, strings.Repeat("canary", 10)), 403, permanent, "", "permission denied"},
			"a reason with an escape": {refuse(403, wire.NotAllowedProblem, "\x1b[31m"), 403, permanent, "", "permission denied"},
			"a hyphen as the reason":  {refuse(403, wire.NotAllowedProblem, "-"), 403, permanent, "", "permission denied"},
		} {
			t.Run(name, func(t *testing.T) {
				b := runnerOf(remotetest.Listen(t, row.handler))
				got, err := b.Fetch(t.Context(), nil)
				require.Nil(t, got)
				status := requireStatus(t, err, row.kind, row.status)
				require.Equal(t, row.reason, status.Reason, "a reason is a short plain word or empty")
				require.Equal(t, b.URL+"/runners/bootstrap", status.URL)
				require.ErrorContains(t, err, row.fix)
				require.NotContains(t, err.Error(), "canary", "the error contains no part of the response")
			})
		}
	})

	// Most servers in between describe themselves with a page, some with JSON, and
	// some with a problem document of their own.
	t.Run("counts only a problem document of the platform", func(t *testing.T) {
		answer := func(code int, contentType, body string) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				if contentType != "" {
					w.Header().Set("Content-Type", contentType)
				}
				w.WriteHeader(code)
				if code != http.StatusNoContent {
					_, _ = w.Write([]byte(body))
				}
			}
		}
		document := func(problemType string, code int) string {
			return fmt.Sprintf(`{"type":%q,"title":"canary","status":%d,"reason":"revoked"}`, problemType, code)
		}
		var handler http.HandlerFunc
		runner := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, r *http.Request) { handler(w, r) }))
		for _, code := range []int{202, 204, 300, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 418, 421, 425, 429, 431, 451, 499, 500, 502, 503, 504, 520, 599} {
			for about, row := range map[string]struct{ contentType, body string }{
				"a text":                        {"text/plain; charset=utf-8", "canary"},
				"a page":                        {"text/html", "<html>canary</html>"},
				"nothing":                       {"", ""},
				"no type":                       {"", document(wire.TokenProblem, code)},
				"JSON":                          {"application/json", document(wire.TokenProblem, code)},
				"a page with our document":      {"text/html", document(wire.TokenProblem, code)},
				"a broken type":                 {"application/problem+json; =", document(wire.TokenProblem, code)},
				"a problem of another kind":     {wire.ProblemType, document("about:blank", code)},
				"a problem without a type":      {wire.ProblemType, `{"title":"canary","reason":"revoked"}`},
				"a problem of another protocol": {wire.ProblemType, document("https://example.com/urn:satchel:problem:token", code)},
				"a problem of another status":   {wire.ProblemType, document(wire.TokenProblem, 600)},
				"a problem that is a list":      {wire.ProblemType, `["canary"]`},
				"a cut problem":                 {wire.ProblemType, document(wire.TokenProblem, code)[:40]},
			} {
				handler = answer(code, row.contentType, row.body)
				_, err := runner.Fetch(t.Context(), nil)
				status := requireStatus(t, err, bundle.FetchUnavailable, code)
				require.Empty(t, status.Reason, "%d with %s", code, about)
				require.NotContains(t, err.Error(), "canary")
				require.Regexp(t, "check the (base )?URL|try again later", err.Error(), "the error has a fix")
			}
		}
	})

	t.Run("keeps the secrets for a while if the token is unknown", func(t *testing.T) {
		for reason, want := range map[string]time.Duration{"unknown": 15 * time.Minute, "revoked": 0, "expired": 0} {
			_, err := runnerOf(remotetest.Listen(t, refuse(401, wire.TokenProblem, reason))).Fetch(t.Context(), nil)
			failure, ok := errors.AsType[*bundle.FetchError](err)
			require.True(t, ok)
			require.Equal(t, want, failure.Confirm, reason)
		}
	})

	t.Run("reads a problem document up to its limit", func(t *testing.T) {
		padded := func(size int) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", wire.ProblemType+"; charset=utf-8")
				w.WriteHeader(http.StatusUnauthorized)
				document := `{"type":"` + wire.TokenProblem + `","reason":"revoked"}`
				_, _ = w.Write([]byte(document + strings.Repeat(" ", size-len(document))))
			}
		}
		_, err := runnerOf(remotetest.Listen(t, padded(wire.MaxRefusal))).Fetch(t.Context(), nil)
		requireStatus(t, err, bundle.FetchRevoked, 401)
		_, err = runnerOf(remotetest.Listen(t, padded(wire.MaxRefusal+1))).Fetch(t.Context(), nil)
		requireStatus(t, err, bundle.FetchUnavailable, 401)
	})

	t.Run("honors Retry-After up to an hour", func(t *testing.T) {
		date := time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC) // a server with a wrong clock
		for value, want := range map[string]time.Duration{
			"":                                 0,
			"0":                                0,
			"30":                               30 * time.Second,
			" 7 ":                              7 * time.Second,
			"3600":                             time.Hour,
			"3601":                             time.Hour,
			"4294967296":                       time.Hour,
			"99999999999999999999999999999999": time.Hour,
			"-5":                               0,
			"1.5":                              0,
			"+5":                               0,
			"soon":                             0,
			date.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
			date.Add(-time.Hour).Format(http.TimeFormat):       0,
			date.AddDate(5, 0, 0).Format(http.TimeFormat):      time.Hour,
		} {
			for _, code := range []int{429, 503, 408, 425, 500} {
				for _, own := range []bool{true, false} {
					b := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, r *http.Request) {
						w.Header().Set("Date", date.Format(http.TimeFormat))
						w.Header().Set("Retry-After", value)
						if own {
							refuse(code, wire.UnavailableProblem, "")(w, r)
							return
						}
						w.WriteHeader(code)
					}))
					_, err := b.Fetch(t.Context(), nil)
					status := requireStatus(t, err, bundle.FetchUnavailable, code)
					want := want
					if !own {
						want = min(want, 50*time.Second) // another server cannot delay the next attempt for long
					}
					require.Equal(t, want, status.RetryAfter, "Retry-After: %s", value)
				}
			}
		}
	})
}

func TestStatusError(t *testing.T) {
	t.Run("prints its fields", func(t *testing.T) {
		require.EqualError(t, &providers.StatusError{Method: "GET", URL: "https://h/x", StatusCode: 503, Reason: "unavailable", RetryAfter: 30 * time.Second},
			"GET https://h/x: status 503 Service Unavailable, unavailable, retry after 30s")
		require.EqualError(t, &providers.StatusError{Method: "GET", URL: "https://h/x", StatusCode: 599}, "GET https://h/x: status 599")
	})
}

func TestPlatform_Redirect(t *testing.T) {
	t.Run("is followed within the origin", func(t *testing.T) {
		for _, code := range []int{301, 302, 303, 307, 308} {
			var paths, methods, tokens, referers []string
			b := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, r *http.Request) {
				paths = append(paths, r.URL.Path)
				methods = append(methods, r.Method)
				tokens = append(tokens, r.Header.Get("Authorization"))
				referers = append(referers, r.Header.Values("Referer")...)
				switch r.URL.Path {
				case "/runners/bootstrap":
					http.Redirect(w, r, "/one", code)
				case "/one":
					http.Redirect(w, r, "two", code)
				case "/two":
					http.Redirect(w, r, "https://"+strings.ToUpper(r.Host)+"/three", code)
				default:
					writeAnswer(w, "r", "x")
				}
			}))
			got, err := b.Fetch(t.Context(), nil)
			require.NoError(t, err)
			require.Equal(t, 1, got.Len())
			require.Equal(t, []string{"/runners/bootstrap", "/one", "/two", "/three"}, paths, "three redirects are followed")
			require.Equal(t, []string{"GET", "GET", "GET", "GET"}, methods)
			require.Len(t, slices.Compact(tokens), 1, "the token is sent each time")
			require.Contains(t, tokens[0], "Bearer rnt_")
			require.Empty(t, referers)
		}
	})

	t.Run("is followed three times at most", func(t *testing.T) {
		var requests atomic.Int64
		b := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}))
		_, err := b.Fetch(t.Context(), nil)
		status := requireStatus(t, err, bundle.FetchUnavailable, 302)
		require.Equal(t, "too-many-redirects", status.Reason)
		require.EqualValues(t, 4, requests.Load())
	})

	t.Run("is not followed to another origin", func(t *testing.T) {
		var strayed atomic.Int64
		stranger := func(http.ResponseWriter, *http.Request) { strayed.Add(1) }
		other := remotetest.Listen(t, stranger)
		plain := httptest.NewServer(http.HandlerFunc(stranger))
		t.Cleanup(plain.Close)
		var own string // the URL of the platform
		for name, target := range map[string]func() string{
			"another port":         func() string { return other.URL },
			"another host":         func() string { return strings.Replace(own, "127.0.0.1", "localhost", 1) },
			"from https to http":   func() string { return strings.Replace(own, "https", "http", 1) },
			"another port of http": func() string { return plain.URL },
			"no scheme":            func() string { return "//" + other.Listener.Addr().String() + "/x" },
			"a user":               func() string { return strings.Replace(own, "://", "://canary:canary@", 1) },
			"another protocol":     func() string { return "ftp://127.0.0.1/" },
			"data":                 func() string { return "data:text/plain,canary" },
		} {
			t.Run(name, func(t *testing.T) {
				var requests atomic.Int64
				server := remotetest.Listen(t, func(w http.ResponseWriter, _ *http.Request) {
					requests.Add(1)
					w.Header().Set("Location", target()+"?canary=1")
					w.WriteHeader(http.StatusTemporaryRedirect)
				})
				own = server.URL
				b := runnerOf(server)
				b.Client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true // TLS must not be what protects the token
				_, err := b.Fetch(t.Context(), nil)
				status := requireStatus(t, err, bundle.FetchUnavailable, 307)
				require.Equal(t, "redirect-to-other-origin", status.Reason)
				require.Equal(t, own+"/runners/bootstrap", status.URL, "the error has the URL of the redirect")
				require.ErrorContains(t, err, "the token is not sent to another origin")
				require.NotContains(t, err.Error(), "canary")
				require.EqualValues(t, 1, requests.Load())
				require.Zero(t, strayed.Load(), "nothing is sent to another origin")
			})
		}
	})

	t.Run("is rejected without a valid target", func(t *testing.T) {
		for _, location := range []string{"", "http://%zz-canary"} {
			b := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, _ *http.Request) {
				if location != "" {
					w.Header().Set("Location", location)
				}
				w.WriteHeader(http.StatusFound)
			}))
			_, err := b.Fetch(t.Context(), nil)
			remotetest.RequireKind(t, err, bundle.FetchUnavailable)
			require.NotContains(t, err.Error(), "canary")
			if location == "" {
				require.Equal(t, "redirect-without-target", requireStatus(t, err, bundle.FetchUnavailable, 302).Reason)
			}
		}
	})

	// A redirect that echoes the token must not bring it into errors.
	t.Run("leaves the original URL in the error", func(t *testing.T) {
		b := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == wire.BootstrapPath {
				http.Redirect(w, r, "/"+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+"?canary", http.StatusFound)
				return
			}
			w.WriteHeader(http.StatusTeapot)
		}))
		_, err := b.Fetch(t.Context(), nil)
		status := requireStatus(t, err, bundle.FetchUnavailable, 418)
		require.Equal(t, b.URL+"/runners/bootstrap", status.URL)
		require.NotContains(t, err.Error(), "rnt_")
	})
}

func TestPlatform_Client(t *testing.T) {
	server := remotetest.Listen(t, func(w http.ResponseWriter, _ *http.Request) { writeAnswer(w, "r", "x") })
	b := runnerOf(server)
	b.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("not used") }
	b.Client.Timeout = time.Nanosecond
	_, err := b.Fetch(t.Context(), nil)
	require.NoError(t, err, "Platform.Timeout replaces the client's")
	require.NotNil(t, b.Client.CheckRedirect)
	require.Equal(t, time.Nanosecond, b.Client.Timeout)
}
