package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/api"
)

// calls has all methods of a client.
func calls(c *admin.Client, ctx context.Context) map[string]func() error {
	const id = "0123456789ab"
	return map[string]func() error{
		"List":           func() error { _, err := c.List(ctx, "acme"); return err },
		"Info":           func() error { _, err := c.Info(ctx, "acme", "A"); return err },
		"Put":            func() error { _, err := c.Put(ctx, "acme", "A", value(canary), nil); return err },
		"Delete":         func() error { return c.Delete(ctx, "acme", "A") },
		"History":        func() error { _, err := c.History(ctx, "acme", "A"); return err },
		"Activate":       func() error { _, err := c.Activate(ctx, "acme", "A", 1); return err },
		"Hide":           func() error { _, err := c.Hide(ctx, "acme", "A"); return err },
		"IssueToken":     func() error { _, _, err := c.IssueToken(ctx, "acme", nil); return err },
		"Tokens":         func() error { _, err := c.Tokens(ctx, "acme"); return err },
		"Token":          func() error { _, err := c.Token(ctx, id); return err },
		"RotateToken":    func() error { _, _, err := c.RotateToken(ctx, id, nil); return err },
		"RevokeToken":    func() error { return c.RevokeToken(ctx, id) },
		"Readiness":      func() error { _, err := c.Readiness(ctx, "acme"); return err },
		"Administrators": func() error { _, err := c.Administrators(ctx); return err },
		"AddAdministrator": func() error {
			_, _, err := c.AddAdministrator(ctx, "ada", &admin.AdministratorOptions{Scopes: []string{"acme"}})
			return err
		},
		"RotateAdministrator": func() error { _, _, err := c.RotateAdministrator(ctx, "ada", time.Time{}); return err },
		"RemoveAdministrator": func() error { return c.RemoveAdministrator(ctx, "ada") },
		"TokensBelow":         func() error { _, err := c.TokensBelow(ctx, "acme"); return err },
		"Tenants":             func() error { _, err := c.Tenants(ctx); return err },
		"Scopes":              func() error { _, err := c.Scopes(ctx, "acme"); return err },
		"Audit":               func() error { _, err := c.Audit(ctx, "acme", 9, 5); return err },
		"VerifyAudit": func() error {
			_, err := c.VerifyAudit(ctx, "acme", &api.VerifiedChain{Seq: 1, MAC: strings.Repeat("0", 64)})
			return err
		},
		"Integrations": func() error { _, err := c.Integrations(ctx, "acme"); return err },
	}
}

func TestError_Leaks(t *testing.T) {
	const token = "rnt_0123456789abcdefghijABCDEFGHIJ0123456789abcdefghijABCDEFGHIJ01234"
	problem := func(detail string) string {
		data, err := json.Marshal(map[string]any{"type": "urn:satchel:problem:request", "title": detail, "status": 400, "detail": detail, "reason": detail})
		require.NoError(t, err)
		return string(data)
	}
	everything := canary + " Bearer " + credential + " " + token
	for about, row := range map[string]struct {
		status     int
		kind, body string
	}{
		"a problem that quotes the value":         {400, "application/problem+json", problem(`Its member "value" is ` + canary)},
		"a problem that quotes a part of a value": {400, "application/problem+json", problem("near " + canary[3:11])},
		"a problem that quotes the credentials":   {403, "application/problem+json", problem("You are " + credential[:12])},
		"a problem that quotes a token":           {401, "application/problem+json", problem("The token " + token)},
		"a problem document of another server":    {400, "application/problem+json", `{"type":"about:blank","title":"` + everything + `"}`},
		"a page":                                  {502, "text/html", everything},
		"a response that is not JSON":             {200, "text/html", everything},
		"a response with other JSON":              {200, "application/json", `{"scope":["` + everything + `"]}`},
		"a truncated response":                    {200, "application/json", `{"scope":"` + everything},
		"a response for another request":          {201, "application/json", `{"scope":"` + canary + `","name":"A","version":1,"token":"` + token + `","info":{"id":"` + canary + `"}}`},
		"an undocumented status":                  {299, "application/json", everything},
	} {
		t.Run(about, func(t *testing.T) {
			p := newPlatform(t)
			p.answer(row.status, row.kind, row.body)
			for name, call := range calls(p.client(), t.Context()) {
				err := call()
				require.Error(t, err, "%s rejects an invalid response", name)
				requireSafe(t, err)
			}
		})
	}
}

func TestError(t *testing.T) {
	t.Run("reports the platform's problem document", func(t *testing.T) {
		p := newPlatform(t)
		c := p.client()
		_, err := c.Put(t.Context(), "acme", "A", value("hunter\n"), nil)
		e, ok := errors.AsType[*admin.Error](err)
		require.True(t, ok)
		require.Equal(t, 400, e.StatusCode)
		require.Equal(t, "urn:satchel:problem:request", e.Type)
		require.Equal(t, http.MethodPut, e.Method)
		require.Equal(t, p.server.URL+"/v1/secrets/A", e.URL, "without the query")
		require.Contains(t, e.Detail, "ends in a line break")

		c.Authorize = bearer("web")
		_, err = c.List(t.Context(), "acme")
		require.ErrorContains(t, err, "status 403 Forbidden: Permission denied in scope acme")
		c.Authorize = bearer("wrong")
		_, err = c.List(t.Context(), "acme")
		require.ErrorContains(t, err, "status 401 Unauthorized: Authentication required")
	})

	t.Run("prints the title and the detail as the platform sends them", func(t *testing.T) {
		p := newPlatform(t)
		for token, status := range map[string]int{"wrong": 401, "web": 403, credential: 404} {
			c := p.client()
			c.Authorize = bearer(token)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.server.URL+"/v1/secrets/A?scope=acme", nil)
			require.NoError(t, err)
			require.NoError(t, c.Authorize(r))
			response, err := p.server.Client().Do(r)
			require.NoError(t, err)
			defer response.Body.Close()
			require.Equal(t, status, response.StatusCode)
			var sent struct{ Title, Detail string }
			require.NoError(t, json.NewDecoder(response.Body).Decode(&sent))
			require.NotEmpty(t, sent.Title)

			_, err = c.Info(t.Context(), "acme", "A")
			want := http.StatusText(status) + ": " + sent.Title
			if sent.Detail != "" {
				want += ": " + sent.Detail
			}
			require.ErrorContains(t, err, want)
		}
	})

	t.Run("sets RetryAfter during an outage", func(t *testing.T) {
		p := newPlatform(t)
		p.kek.Break(keyring.ErrUnavailable)
		_, err := p.client().Put(t.Context(), "acme", "A", value(canary), nil)
		e, ok := errors.AsType[*admin.Error](err)
		require.True(t, ok)
		require.Equal(t, 503, e.StatusCode)
		require.Equal(t, 5*time.Second, e.RetryAfter)
		requireSafe(t, err)

		p.fault = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "999999")
			w.WriteHeader(429)
		}
		_, err = p.client().List(t.Context(), "acme")
		e, ok = errors.AsType[*admin.Error](err)
		require.True(t, ok)
		require.Equal(t, time.Hour, e.RetryAfter, "RetryAfter is limited to an hour")
	})
}

func TestClient_Response(t *testing.T) {
	t.Run("follows no redirect", func(t *testing.T) {
		other := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			t.Errorf("the request reached another server")
		}))
		defer other.Close()
		p := newPlatform(t)
		for _, status := range []int{301, 302, 303, 307, 308} {
			p.fault = http.RedirectHandler(other.URL+"/?token=x", status).ServeHTTP
			for name, call := range calls(p.client(), t.Context()) {
				err := call()
				require.ErrorContains(t, err, "redirects are not followed", name)
				require.NotContains(t, err.Error(), other.URL)
			}
		}
	})

	t.Run("has a size limit", func(t *testing.T) {
		p := newPlatform(t)
		p.fault = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			chunk := []byte(strings.Repeat(" ", 1<<20))
			for range 18 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
		_, err := p.client().List(t.Context(), "acme")
		require.ErrorContains(t, err, "the response has more than 16777216 bytes")
	})

	t.Run("may be empty only where that is documented", func(t *testing.T) {
		p := newPlatform(t)
		p.fault = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }
		c := p.client()
		require.NoError(t, c.Delete(t.Context(), "acme", "A"))
		_, err := c.List(t.Context(), "acme")
		require.Error(t, err)
		p.answer(200, "text/html", "<h1>Log in</h1>")
		require.ErrorContains(t, c.RevokeToken(t.Context(), "0123456789ab"), "the response is not empty", "a captive portal has revoked nothing")
	})

	t.Run("has printable text", func(t *testing.T) {
		p := newPlatform(t)
		p.answer(200, "application/json", `{"secrets":[{"scope":"acme","name":"A","author":"a\u001b[2J\nb","kind":"`+strings.Repeat("k", 2000)+`"}]}`)
		list, err := p.client().List(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, "a\ufffd[2J b", list[0].Author)
		require.Len(t, list[0].Kind, 1024)
	})
}

func TestClient_Request(t *testing.T) {
	t.Run("needs a valid URL", func(t *testing.T) {
		for url, want := range map[string]string{
			"":                            "it is empty",
			"http://satchel.example.com":  "http would send credentials and values to satchel.example.com in the clear",
			"ftp://satchel.example.com":   "it does not start with https://",
			"satchel.example.com":         "it does not start with https://",
			"https://":                    "it has no host",
			"https://u:" + canary + "@h":  "it has a user or a password",
			"https://h/?key=" + canary:    "it has a query",
			"https://h/#" + canary:        "it has a fragment",
			"https://h/rnt_" + canary:     "it contains a runner token",
			"https://h/\x7f" + canary:     "it is not a valid URL",
			"https://h:port" + canary:     "it is not a valid URL",
			"http://127.0.0.1.evil.test/": "in the clear",
		} {
			c := &admin.Client{URL: url, Authorize: bearer(credential)}
			_, err := c.Put(t.Context(), "acme", "A", value(canary), nil)
			require.ErrorContains(t, err, want)
			requireSafe(t, err)
		}
	})

	t.Run("rejects invalid values, names and ids", func(t *testing.T) {
		p := newPlatform(t)
		c, ctx := p.client(), t.Context()
		for about, text := range map[string]string{
			"a NUL": canary + "\x00", "invalid UTF-8": canary + "\xff", "too long": canary + strings.Repeat("x", admin.MaxValue),
		} {
			_, err := c.Put(ctx, "acme", "A", value(text), nil)
			require.ErrorContains(t, err, "putting secret A in scope acme: the value", about)
			requireSafe(t, err)
		}
		token, _ := wire.NewToken()
		for _, name := range []string{token, "OLD_" + token, "of ada: " + token, "sat_" + token[4:]} {
			_, err := c.Put(ctx, "acme", name, value(canary), nil)
			require.ErrorContains(t, err, "the name holds a token, or a part of one; use another name")
			require.False(t, wire.HoldsToken(err.Error()), "%v", err)
		}
		_, err := c.Put(ctx, "acme", "A/../B", value(canary), nil)
		require.ErrorContains(t, err, `has '/' at byte 1`)
		_, err = c.Token(ctx, "rnt_0123456789abcdefghijABCDEFGHIJ0123456789abcdefghijABCDEFGHIJ01234")
		require.ErrorContains(t, err, "invalid token id", "a complete token appears in no URL")
		requireSafe(t, err)
		require.Zero(t, p.asked.Load(), "no request was sent")
	})
}

func TestClient_Authorize(t *testing.T) {
	p := newPlatform(t)
	c, ctx := p.client(), t.Context()
	for about, change := range map[string]func(*http.Request){
		"the URL":    func(r *http.Request) { r.URL.Host = "evil.test" },
		"the query":  func(r *http.Request) { r.URL.RawQuery += "&key=" + credential },
		"the method": func(r *http.Request) { r.Method = "DELETE" },
		"the body":   func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) },
	} {
		c.Authorize = func(r *http.Request) error { change(r); return nil }
		_, err := c.Put(ctx, "acme", "A", value(canary), nil)
		require.ErrorContains(t, err, "changed more than headers", about)
		requireSafe(t, err)
	}
	c.Authorize = func(r *http.Request) error {
		require.Nil(t, r.Body, "the body is not set yet")
		return io.ErrClosedPipe
	}
	_, err := c.Put(ctx, "acme", "A", value(canary), nil)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	c.Authorize = nil
	_, err = c.Put(ctx, "acme", "A", value(canary), nil)
	require.ErrorContains(t, err, "Authorize function of the client is not set")
	require.Zero(t, p.asked.Load(), "no request was sent")
}

func TestClient_Context(t *testing.T) {
	p := newPlatform(t)
	ctx, cancel := context.WithCancel(t.Context())
	p.fault = func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		_, _ = io.Copy(io.Discard, r.Body) // otherwise the server does not detect the end
		<-r.Context().Done()
	}
	_, err := p.client().Put(ctx, "acme", "A", value(canary), nil)
	require.ErrorIs(t, err, context.Canceled)
	requireSafe(t, err)

	p.fault = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	c := p.client()
	c.Timeout = time.Millisecond
	_, err = c.List(t.Context(), "acme")
	require.ErrorContains(t, err, "no response in time")
}

func TestClient_Connection(t *testing.T) {
	t.Run("sends nothing to an untrusted server", func(t *testing.T) {
		p := newPlatform(t)
		c := p.client()
		c.HTTPClient = nil
		_, err := c.Put(t.Context(), "acme", "A", value(canary), nil)
		require.ErrorContains(t, err, "from an authority that this system does not trust")
		requireSafe(t, err)
		require.Zero(t, p.asked.Load())

		gone := httptest.NewServer(nil)
		gone.Close()
		c.URL = gone.URL
		_, err = c.Put(t.Context(), "acme", "A", value(canary), nil)
		require.ErrorContains(t, err, "connection refused")

		plain := httptest.NewServer(http.NotFoundHandler())
		defer plain.Close()
		c.URL = strings.Replace(plain.URL, "http:", "https:", 1)
		_, err = c.Put(t.Context(), "acme", "A", value(canary), nil)
		require.ErrorContains(t, err, "the server speaks plain HTTP on this port")
	})

	t.Run("is used once", func(t *testing.T) {
		p := newPlatform(t)
		_, err := p.client().List(t.Context(), "acme")
		require.NoError(t, err)
		require.True(t, p.seen.Load().Close, "package net/http logs unsolicited data on idle connections")
	})
}
