package vaulthttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

const path = "/runners/bootstrap"

func (f *fixture) handler(opts ...vaulthttp.Options) http.Handler {
	o := vaulthttp.Options{}
	if len(opts) > 0 {
		o = opts[0]
	}
	o.Logger = f.Log.Logger()
	return vaulthttp.Runners(f.Vault, &o)
}

// get requests a bundle from h. Headers are pairs of names and values.
func get(ctx context.Context, h http.Handler, target string, token bundle.Value, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if token.Reveal() != "" {
		r.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// requireProblem fails the test unless w is a problem document.
func requireProblem(t testing.TB, w *httptest.ResponseRecorder, status int, kind, reason string) {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	var problem wire.Refusal
	dec := json.NewDecoder(w.Body)
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&problem))
	require.Equal(t, kind, problem.Type)
	require.Equal(t, reason, problem.Reason)
	require.Equal(t, status, problem.Status, "the document repeats the status")
	require.NotEmpty(t, problem.Title)
	require.Less(t, w.Body.Len(), 1000)
}

func TestRunners_Bundle(t *testing.T) {
	t.Run("responds 200 with a new bundle", func(t *testing.T) {
		f := newFixture(t)
		end := soon()
		f.MustPut(t, "acme", "A", "<one> & \"two\"", vault.PutOptions{Kind: "anthropic", Expires: end})
		token := f.MustIssue(t, "acme/web", vault.TokenOptions{Expires: end, RotateBy: end})
		w := get(t.Context(), f.handler(), path, token)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))

		var answer map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		require.EqualValues(t, 1, answer["version"])
		require.Equal(t, "acme/web", answer["scope"])
		require.EqualValues(t, 900, answer["refresh_after_seconds"])
		require.Equal(t, `"`+answer["revision"].(string)+`"`, w.Header().Get("ETag"))
		secret := answer["secrets"].([]any)[0].(map[string]any)
		require.Equal(t, "A", secret["name"])
		require.Equal(t, "<one> & \"two\"", secret["value"])
		require.Equal(t, "anthropic", secret["kind"])
		require.Equal(t, "acme", secret["scope"])
		require.Equal(t, "vault", secret["origin"])
		require.Equal(t, end.Format(time.RFC3339Nano), secret["expires_at"])
		require.Equal(t, tokenID(t, token), answer["token"].(map[string]any)["id"])

		b, err := wire.Decode(w.Body.Bytes(), "https://host")
		require.NoError(t, err, "the client can decode it")
		require.Equal(t, map[string]string{"A": "<one> & \"two\""}, reveal(b))
		require.Equal(t, f.Bundle(t, token).Revision(), b.Revision())
	})

	t.Run("responds 304 for the current revision", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "one")
		token := f.MustIssue(t, "acme")
		h := f.handler()
		tag := get(t.Context(), h, path, token).Header().Get("ETag")
		for _, header := range []string{tag, " " + tag + " ", "W/" + tag, tag + `, "other"`} {
			w := get(t.Context(), h, path, token, "If-None-Match", header)
			require.Equal(t, http.StatusNotModified, w.Code, header)
			require.Equal(t, tag, w.Header().Get("ETag"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Zero(t, w.Body.Len())
		}
		for _, header := range []string{`"other"`, "*", strings.Trim(tag, `"`), `"`, `""`, "", tag[:len(tag)-1], strings.Repeat(`"a", `, 1000), "\xff\x00"} {
			w := get(t.Context(), h, path, token, "If-None-Match", header)
			require.Equal(t, http.StatusOK, w.Code, "%q: another revision gets the bundle", header)
		}
		f.MustPut(t, "acme", "A", "two")
		require.Equal(t, http.StatusOK, get(t.Context(), h, path, token, "If-None-Match", tag).Code)
	})
}

func TestRunners_Wait(t *testing.T) {
	t.Run("holds a 304 back as long as the runner prefers", func(t *testing.T) {
		for prefer, want := range map[string]time.Duration{
			"wait=7": 7 * time.Second, "Wait = 7": 7 * time.Second, `respond-async, wait="7"`: 7 * time.Second, "wait=50": 50 * time.Second, "wait=4000000000": 50 * time.Second,
			"": 0, "wait": 0, "wait=": 0, "wait=0": 0, "wait=-1": 0, "wait=1.5": 0, "wait=99999999999999999999": 0, "waiting=7": 0,
		} {
			t.Run(prefer, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, token, revision := begin(t)
					start := time.Now()
					w := get(t.Context(), f.handler(), path, token, "If-None-Match", `"`+revision+`"`, "Prefer", prefer)
					require.Equal(t, http.StatusNotModified, w.Code)
					require.Equal(t, want, time.Since(start))
				})
			})
		}
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			answered := make(chan *httptest.ResponseRecorder, 1)
			start := time.Now()
			go func() {
				answered <- get(t.Context(), f.handler(), path, token, "If-None-Match", `"`+revision+`"`, "Prefer", "wait=50")
			}()
			time.Sleep(3 * time.Second)
			f.MustPut(t, "acme", "A", "two")
			w := <-answered
			require.Equal(t, http.StatusOK, w.Code, "a change ends the wait")
			require.Equal(t, 3*time.Second, time.Since(start))
			require.Contains(t, w.Body.String(), "two")
		})
	})

	t.Run("responds 503 if the server ends the wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, revision := begin(t)
			// The server shuts down or the platform has a deadline. The runner may
			// still be connected and read the response.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			w := get(ctx, f.handler(), path, token, "If-None-Match", `"`+revision+`"`, "Prefer", "wait=50")
			require.Equal(t, "5", w.Header().Get("Retry-After"))
			require.Contains(t, w.Body.String(), "The platform ended the request", "the vault is not to blame")
			requireProblem(t, w, http.StatusServiceUnavailable, wire.UnavailableProblem, "")
			require.Zero(t, f.Log.Errors(), "this is not a failure of the vault")
		})
	})
}

func TestRunners_Token(t *testing.T) {
	t.Run("responds 401 with the reason", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", canaryTenant)
		h := f.handler()
		good, gone := f.MustIssue(t, "acme"), f.MustIssue(t, "acme")
		require.NoError(t, f.RevokeToken(t.Context(), tokenID(t, gone)))
		never, _ := wire.NewToken()
		tag := get(t.Context(), h, path, good).Header().Get("ETag")
		details := map[string]string{
			"missing": "Authorization: Bearer TOKEN", "malformed": `"detail":"the token `,
			"unknown": "Check the URL of the platform", "revoked": "Use the new token",
		}
		for about, row := range map[string]struct{ authorization, reason string }{
			"no header":     {"", "missing"},
			"empty":         {"Bearer ", "missing"},
			"no scheme":     {good.Reveal(), "missing"},
			"another":       {"Basic " + good.Reveal(), "missing"},
			"only a scheme": {"Bearer", "missing"},
			"cut":           {"Bearer " + good.Reveal()[:40], "malformed"},
			"two":           {"Bearer " + good.Reveal() + " " + good.Reveal(), "malformed"},
			"not a token":   {"Bearer hunter2", "malformed"},
			"unknown":       {"Bearer " + never, "unknown"},
			"revoked":       {"Bearer " + gone.Reveal(), "revoked"},
		} {
			for _, match := range []string{"", tag} {
				w := get(t.Context(), h, path, bundle.Value{}, "Authorization", row.authorization, "If-None-Match", match)
				require.Equal(t, `Bearer error="invalid_token"`, w.Header().Get("WWW-Authenticate"), about)
				require.NotContains(t, w.Body.String(), good.Reveal()[16:30])
				require.Contains(t, w.Body.String(), details[row.reason], "the detail names the fix")
				requireProblem(t, w, http.StatusUnauthorized, wire.TokenProblem, row.reason)
			}
		}
		for _, authorization := range []string{"bearer " + good.Reveal(), "BEARER  " + good.Reveal() + " "} {
			require.Equal(t, http.StatusOK, get(t.Context(), h, path, bundle.Value{}, "Authorization", authorization).Code, "the scheme is case-insensitive, and spaces are ignored")
		}
		require.Zero(t, f.Log.Errors(), "a refused token is not a failure of the vault")
	})

	t.Run("responds 401 after it has expired", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			token := f.MustIssue(t, "acme", vault.TokenOptions{Expires: soon()})
			time.Sleep(2 * time.Hour)
			w := get(t.Context(), f.handler(), path, token)
			require.Contains(t, w.Body.String(), "The token has expired. Issue a new one.")
			requireProblem(t, w, http.StatusUnauthorized, wire.TokenProblem, "expired")
		})
	})

	t.Run("refuses a token in the URL even with a valid header", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		plain := token.Reveal()
		for _, query := range []string{
			"token=" + plain, "token=", "token", "t=" + plain, plain, "a=b&c=x" + plain, "runner=%72nt_" + plain[4:], "rnt%5F" + plain[4:] + "=1", "%74oken=x", "a=%zz&token=1",
		} {
			w := get(t.Context(), f.handler(), path+"?"+query, token)
			require.NotContains(t, w.Body.String(), plain[16:30])
			requireProblem(t, w, http.StatusBadRequest, wire.RequestProblem, "")
		}
		require.Equal(t, http.StatusOK, get(t.Context(), f.handler(), path+"?page=1&a=%zz", token).Code, "other queries are ignored")
		require.NotContains(t, f.Log.Text(), plain[16:30])
	})
}

func TestRunners_Request(t *testing.T) {
	t.Run("serves a single path", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		for _, target := range []string{
			"/", "/runners", "/runners/bootstrap/", "//runners/bootstrap", "/runners//bootstrap", "/runners/bootstrap/x", "/Runners/bootstrap",
			"/api/runners/bootstrap", "/runners/x/../bootstrap", "/runners/bootstrap%2f", "/runners/bootstrap%00", "/runners/bootstrap/" + token.Reveal(),
		} {
			w := get(t.Context(), f.handler(), target, token)
			require.NotContains(t, w.Body.String(), "bootstrap", "a path is not repeated")
			requireProblem(t, w, http.StatusNotFound, wire.RequestProblem, "")
		}
		mounted := http.StripPrefix("/api", f.handler())
		require.Equal(t, http.StatusOK, get(t.Context(), mounted, "/api/runners/bootstrap", token).Code, "it can be served below a prefix")
		require.Equal(t, http.StatusNotFound, get(t.Context(), mounted, "/runners/bootstrap", token).Code)
		mux := http.NewServeMux()
		mux.Handle("/", f.handler())
		require.Equal(t, http.StatusOK, get(t.Context(), mux, path, token).Code, "and by a mux")
	})

	t.Run("serves GET only", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		for _, method := range []string{"HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "BREW"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Method = method
			r.Header.Set("Authorization", "Bearer "+token.Reveal())
			w := httptest.NewRecorder()
			f.handler().ServeHTTP(w, r)
			require.Equal(t, "GET", w.Header().Get("Allow"))
			requireProblem(t, w, http.StatusMethodNotAllowed, wire.RequestProblem, "")
		}
	})

	t.Run("requires TLS except on loopback", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		arrived := func(addr net.Addr) context.Context {
			return context.WithValue(t.Context(), http.LocalAddrContextKey, addr)
		}
		for _, addr := range []net.Addr{
			&net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 80}, &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80},
			&net.TCPAddr{IP: net.ParseIP("10.0.0.1")}, &net.TCPAddr{IP: net.IPv4zero}, &net.TCPAddr{}, &net.UDPAddr{IP: net.ParseIP("192.0.2.1")},
		} {
			w := get(arrived(addr), f.handler(), path, token)
			requireProblem(t, w, http.StatusForbidden, wire.NotAllowedProblem, "")
			w = get(arrived(addr), f.handler(vaulthttp.Options{AllowPlaintext: true}), path, token)
			require.Equal(t, http.StatusOK, w.Code, "it can be allowed behind a proxy that terminates TLS")
		}
		for _, addr := range []net.Addr{
			&net.TCPAddr{IP: net.ParseIP("127.0.0.1")}, &net.TCPAddr{IP: net.ParseIP("127.9.9.9")}, &net.TCPAddr{IP: net.IPv6loopback},
			&net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1")}, &net.UnixAddr{Name: "/run/satchel.sock", Net: "unix"},
		} {
			require.Equal(t, http.StatusOK, get(arrived(addr), f.handler(), path, token).Code, addr.String())
		}
		for _, header := range []string{"X-Forwarded-Proto", "Forwarded", "X-Forwarded-Ssl"} {
			w := get(arrived(&net.TCPAddr{IP: net.ParseIP("192.0.2.1")}), f.handler(), path, token, header, "https")
			require.Equal(t, http.StatusForbidden, w.Code, "headers of the client are ignored")
		}
	})

	t.Run("is served by plain and TLS servers", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "one")
		token := f.MustIssue(t, "acme")
		plain := httptest.NewServer(f.handler())
		defer plain.Close()
		secure := httptest.NewTLSServer(f.handler())
		defer secure.Close()
		for _, server := range []*httptest.Server{plain, secure} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer "+token.Reveal())
			r.Header.Set("Satchel-Runner", "runner-7")
			res, err := server.Client().Do(r)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusOK, res.StatusCode)
		}
		tokens, err := f.Tokens(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1", tokens[0].LastAddr)
		require.Equal(t, "runner-7", tokens[0].LastRunner)
	})

	t.Run("validates the runner's name", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		for _, name := range []string{strings.Repeat("r", 129), "a\nb", "a\x00", "\xff", "a\tb", strings.Repeat("r", 1<<20)} {
			w := get(t.Context(), f.handler(), path, token, "Satchel-Runner", name)
			requireProblem(t, w, http.StatusBadRequest, wire.RequestProblem, "")
		}
		for _, name := range []string{"", strings.Repeat("r", 128), "läufer 7"} {
			require.Equal(t, http.StatusOK, get(t.Context(), f.handler(), path, token, "Satchel-Runner", name).Code)
		}
	})

	t.Run("refuses a token as the runner's name", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		other, _ := wire.NewToken()
		for _, name := range []string{token.Reveal(), "ci " + other, other + "x", "sat_" + other[4:], other[:60]} {
			w := get(t.Context(), f.handler(), path, token, "Satchel-Runner", name)
			require.Contains(t, w.Body.String(), "Replace a token that was sent there")
			requireProblem(t, w, http.StatusBadRequest, wire.RequestProblem, "")
			forwarded := vaulthttp.Options{RemoteAddr: func(*http.Request) string { return name }}
			require.Equal(t, http.StatusOK, get(t.Context(), f.handler(forwarded), path, token).Code)
		}
		tokens, err := f.Tokens(t.Context(), "acme")
		require.NoError(t, err)
		require.Empty(t, tokens[0].LastRunner)
		require.Empty(t, tokens[0].LastAddr, "nor as the address")
		_, err = f.VerifyAudit(t.Context(), "acme", nil, func(_ int64, e audit.Entry) error {
			require.Empty(t, e.Runner+e.Addr)
			return nil
		})
		require.NoError(t, err)
		require.False(t, wire.HoldsToken(f.Log.Text()), "the log")
	})

	t.Run("takes the address from the connection or RemoteAddr", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		forwarded := vaulthttp.Options{RemoteAddr: func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }}
		last := func() string {
			tokens, err := f.Tokens(t.Context(), "acme")
			require.NoError(t, err)
			return tokens[0].LastAddr
		}
		get(t.Context(), f.handler(), path, token, "X-Forwarded-For", "198.51.100.9")
		require.Equal(t, "192.0.2.1", last(), "the header is ignored by default")
		get(t.Context(), f.handler(forwarded), path, token, "X-Forwarded-For", "198.51.100.9")
		require.Equal(t, "198.51.100.9", last())
		for addr, want := range map[string]string{
			"198.51.100.8:567": "198.51.100.8", "[2001:db8::1]:567": "2001:db8::1", "[2001:db8::2]": "2001:db8::2",
			"fe80::3%eth0": "fe80::3", "::ffff:198.51.100.7": "198.51.100.7", "runner-net-a": "runner-net-a",
		} {
			get(t.Context(), f.handler(forwarded), path, token, "X-Forwarded-For", addr)
			require.Equal(t, want, last(), "without a port, brackets and a zone")
		}
		for _, forged := range []string{strings.Repeat("1", 257), "a\nb", "\xff", "a\x00b"} {
			w := get(t.Context(), f.handler(forwarded), path, token, "X-Forwarded-For", forged)
			require.Equal(t, http.StatusOK, w.Code, "a client with a forged address gets its bundle")
			require.Empty(t, last(), "and no address is recorded")
		}
	})
}

func TestRunners_Failures(t *testing.T) {
	t.Run("responds 503 with Retry-After during an outage", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", canaryTenant)
		token := f.MustIssue(t, "acme")
		cold := f.process(t)
		check := func(h http.Handler) {
			t.Helper()
			w := get(t.Context(), h, path, token)
			require.Equal(t, "5", w.Header().Get("Retry-After"))
			require.NotContains(t, w.Body.String(), "secret detail")
			requireProblem(t, w, http.StatusServiceUnavailable, wire.UnavailableProblem, "")
		}
		f.KEK.Break(keyring.ErrUnavailable)
		check(cold.handler())
		require.Equal(t, http.StatusOK, get(t.Context(), f.handler(), path, token).Code, "a warm vault serves")
		require.Contains(t, cold.Log.Text(), "level=ERROR")
		f.KEK.Break(nil)

		f.Storage.Down.Set(errors.New("secret detail: connection to 10.0.0.7 refused"))
		check(f.handler())
		require.Contains(t, f.Log.Text(), "secret detail", "the log has the cause")
	})

	t.Run("calls no token unknown if nothing is stored", func(t *testing.T) {
		before := newFixture(t)
		before.MustPut(t, "acme", "A", canaryTenant)
		token := before.MustIssue(t, "acme")
		tag := get(t.Context(), before.handler(), path, token).Header().Get("ETag")
		f := newFixture(t) // as after a restart with storage in memory
		for _, headers := range [][]string{nil, {"If-None-Match", tag}, {"If-None-Match", tag, "Prefer", "wait=1"}} {
			w := get(t.Context(), f.handler(), path, token, headers...)
			require.Equal(t, "5", w.Header().Get("Retry-After"))
			require.Contains(t, w.Body.String(), "Nothing is stored here yet")
			requireProblem(t, w, http.StatusServiceUnavailable, wire.UnavailableProblem, "")
		}
		requireProblem(t, get(t.Context(), f.handler(), path, bundle.Value{}), http.StatusUnauthorized, wire.TokenProblem, wire.ReasonMissing)
		f.MustIssue(t, "globex")
		requireProblem(t, get(t.Context(), f.handler(), path, token), http.StatusUnauthorized, wire.TokenProblem, wire.ReasonUnknown)
	})

	t.Run("responds 500 without detail to tampered rows", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", canaryTenant)
		token := f.MustIssue(t, "acme")
		f.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) {
			for i := range snap.Path[0].Secrets {
				snap.Path[0].Secrets[i].Kind = "edited"
			}
		})
		w := get(t.Context(), f.handler(), path, token)
		require.Empty(t, w.Header().Get("Retry-After"), "retrying does not help")
		body := w.Body.String()
		requireProblem(t, w, http.StatusInternalServerError, wire.IntegrityProblem, "")
		for _, detail := range []string{"acme", "seal", "edited", "goroutine", ".go:"} {
			require.NotContains(t, body, detail)
		}
	})
}

func FuzzRunners(f *testing.F) {
	fix := newFixture(f)
	fix.MustPut(f, "acme", "A", canaryTenant)
	token := fix.MustIssue(f, "acme")
	tag := get(f.Context(), fix.handler(), path, token).Header().Get("ETag")
	unlimited := vaulthttp.Limit{PerSecond: -1}
	h := fix.handler(vaulthttp.Options{
		RemoteAddr: func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") },
		TokenLimit: unlimited, AddressLimit: unlimited, FailureLimit: unlimited,
	})
	f.Add("GET", path, "", "Bearer "+token.Reveal(), "", "wait=1", "runner", "192.0.2.1", true)
	f.Add("GET", path, "token=x", "Bearer rnt_", tag, "wait=50", "", "", false)
	f.Add("POST", "/", "a=%zz", "Basic x", `W/"x", *`, "wait=x;y", "a\nb", "\xff", false)
	f.Add("", "", "", "", "", "", "", "", false)
	f.Fuzz(func(t *testing.T, method, target, query, authorization, match, prefer, runner, addr string, known bool) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Method, r.URL.Path, r.URL.RawQuery = method, target, query
		r.Header = http.Header{"Authorization": {authorization}, "If-None-Match": {match}, "Prefer": {prefer}, "Satchel-Runner": {runner}, "X-Forwarded-For": {addr}}
		if known {
			r.Header.Set("Authorization", "Bearer "+token.Reveal())
			r.Header.Del("Prefer") // the current tag would wait
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusOK || w.Code == http.StatusNotModified {
			require.True(t, known || strings.Contains(authorization, token.Reveal()), "served without a token")
			require.Equal(t, "GET", method)
			return
		}
		require.Contains(t, []int{400, 401, 403, 404, 405}, w.Code, "invalid input is the runner's fault: %s", w.Body.String())
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		require.True(t, json.Valid(w.Body.Bytes()))
		require.NotContains(t, w.Body.String(), canaryTenant)
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	})
}
