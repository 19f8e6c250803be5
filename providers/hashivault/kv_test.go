package hashivault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/hashivault"
)

const (
	canaryToken = "hvs.canary-token"
	canaryValue = "canary value of the server"
)

func token(context.Context) (bundle.Value, error) { return bundle.NewValue(canaryToken), nil }

// written returns a response with data at version 5.
func written(data string) string {
	return `{"data":{"data":` + data + `,"metadata":{"version":5,"created_time":"2026-11-23T13:41:48.959003726Z",
		"deletion_time":"","destroyed":false,"custom_metadata":{"owner":"` + canaryValue + `"}}},"warnings":null}`
}

func serve(t *testing.T, handler http.HandlerFunc) *hashivault.KV {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &hashivault.KV{Address: server.URL, Token: token, Path: "runners/pool-a"}
}

func says(t *testing.T, status int, body string) *hashivault.KV {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// requireFailure requires that Fetch fails with a kind, and that the error contains
// nothing that was sent or received.
func requireFailure(t *testing.T, p bundle.Provider, kind bundle.FetchKind) error {
	t.Helper()
	b, err := p.Fetch(t.Context(), nil)
	require.Nil(t, b, "an error excludes a bundle")
	failed, ok := errors.AsType[*bundle.FetchError](err)
	require.True(t, ok, "every error is a *bundle.FetchError, got %v", err)
	require.Equal(t, kind.String(), failed.Kind.String(), "%v", err)
	require.NotContains(t, err.Error(), canaryToken, "an error contains no token")
	require.NotContains(t, err.Error(), canaryValue, "an error contains no text of the server")
	return err
}

func TestKV_Fetch(t *testing.T) {
	t.Run("returns a secret for each key", func(t *testing.T) {
		kv := says(t, http.StatusOK, written(`{"API_KEY":"k","EMPTY":"","db-password":"p"}`))
		b, err := kv.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, "5", b.Revision())
		require.Equal(t, 2, b.Len())
		s, ok := b.Get("API_KEY")
		require.True(t, ok)
		require.Equal(t, "k", s.Value.Reveal())
		require.Equal(t, "hashivault secret/runners/pool-a#5", s.Origin.String())
		require.Equal(t, int64(5), s.Version)
		require.Equal(t, time.Date(2026, 11, 23, 13, 41, 48, 959003726, time.UTC), s.Rotated)
		require.Zero(t, s.Created, "the time of version 1 is unknown")
		require.Zero(t, s.Expires)
		_, ok = b.Get("EMPTY")
		require.True(t, ok, "an empty value counts as present")

		problems := b.Problems()
		require.Len(t, problems, 1, "an invalid name is reported")
		require.Contains(t, problems[0].Reason, `"db-password"`)
		require.Contains(t, problems[0].Reason, "Names")
		require.Equal(t, "hashivault secret/runners/pool-a#5", problems[0].Origin.String())
		require.Equal(t, "hashivault secret/runners/pool-a", kv.String())
	})

	t.Run("returns numbers and booleans as JSON writes them", func(t *testing.T) {
		for _, value := range []string{"7", "-1.50", "1e400", "123456789012345678901234567890", "0.10", "true", "false"} {
			b, err := says(t, http.StatusOK, written(`{"API_KEY":"k","PORT":`+value+`}`)).Fetch(t.Context(), nil)
			require.NoError(t, err)
			require.Equal(t, []string{"API_KEY=k", "PORT=" + value}, b.Environ())
			require.Empty(t, b.Problems())
		}
	})

	t.Run("leaves out a key with an invalid value", func(t *testing.T) {
		for value, why := range map[string]string{
			"null":                        "is null; store a string, or delete the key",
			`["` + canaryValue + `"]`:     "is a list, not text; store it as a string of JSON",
			`{"x":"` + canaryValue + `"}`: "is an object, not text; store it as a string of JSON, or each of its members under a key of its own",
			`"` + canaryValue + `\u0000"`: "is invalid: the value has a NUL at byte 26; encode binary data, for example as base64",
			`"` + canaryValue + "\xff\"":  "is not valid Unicode; encode binary data, for example as base64",
			`"` + canaryValue + `\ud800"`: "is not valid Unicode; encode binary data, for example as base64",
		} {
			for _, names := range []map[string]string{nil, {"API_KEY": "API_KEY", "db": "DB"}} {
				key := "DB"
				if names != nil {
					key = "db"
				}
				kv := says(t, http.StatusOK, written(`{"API_KEY":"k","`+key+`":`+value+`}`))
				kv.Names = names
				b, err := kv.Fetch(t.Context(), nil)
				require.NoError(t, err, "one bad key does not take the others away")
				require.Equal(t, []string{"API_KEY=k"}, b.Environ())
				require.Equal(t, []bundle.Problem{{
					Name:   "DB",
					Origin: bundle.Origin{Provider: "hashivault", Location: "secret/runners/pool-a#5"},
					Reason: fmt.Sprintf("the value of the key %q %s; the key is left out", key, why),
				}}, b.Problems())
			}
		}
		b, err := says(t, http.StatusOK, written(`{"A":"\ufffd`+"\ufffd"+`"}`)).Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, []string{"A=\ufffd\ufffd"}, b.Environ(), "a replacement character that was stored is valid")
	})

	t.Run("sets Expires to the planned deletion", func(t *testing.T) {
		body := strings.Replace(written(`{"A":"1"}`), `"deletion_time":""`, `"deletion_time":"2026-11-24T00:00:00Z"`, 1)
		b, err := says(t, http.StatusOK, body).Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), b.Expires())
	})

	t.Run("returns last only if nothing changed", func(t *testing.T) {
		var body atomic.Value
		kv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body.Load().(string)) })
		fetch := func(content string, last *bundle.Bundle) *bundle.Bundle {
			body.Store(content)
			b, err := kv.Fetch(t.Context(), last)
			require.NoError(t, err)
			return b
		}
		five := written(`{"A":"1"}`)
		last := fetch(five, nil)
		require.Same(t, last, fetch(five, last))
		require.NotSame(t, last, fetch(strings.Replace(five, `"version":5`, `"version":6`, 1), last), "a new version is a change even with the same values")
		require.NotSame(t, last, fetch(written(`{"A":"2"}`), last), "a path that was deleted and written again starts at version 1")
	})

	t.Run("sends the documented request", func(t *testing.T) {
		requests := make(chan *http.Request, 1)
		kv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			requests <- r
			_, _ = io.WriteString(w, written(`{}`))
		})
		_, err := kv.Fetch(t.Context(), nil)
		require.NoError(t, err)
		r := <-requests
		require.Equal(t, "/v1/secret/data/runners/pool-a", r.URL.RequestURI())
		require.Equal(t, http.MethodGet, r.Method)
		require.Equal(t, canaryToken, r.Header.Get("X-Vault-Token"))
		require.Equal(t, "true", r.Header.Get("X-Vault-Request"))
		require.NotContains(t, r.Header, "X-Vault-Namespace")

		kv.Address += "/behind/proxy/"
		kv.Mount, kv.Path, kv.Version, kv.Namespace = "team/kv", "a b/50%/x?y#z", 5, "team-a/ci"
		_, err = kv.Fetch(t.Context(), nil)
		require.NoError(t, err)
		r = <-requests
		require.Equal(t, "/behind/proxy/v1/team/kv/data/a%20b/50%25/x%3Fy%23z?version=5", r.URL.RequestURI())
		require.Equal(t, "team-a/ci", r.Header.Get("X-Vault-Namespace"))
	})
}

func TestKV_Names(t *testing.T) {
	kv := says(t, http.StatusOK, written(`{"db-password":"p","number":7,"other":"x"}`))
	kv.Names = map[string]string{"db-password": "DB_PASSWORD", "gone": "GONE"}
	b, err := kv.Fetch(t.Context(), nil)
	require.NoError(t, err, "other keys may have any value")
	require.Equal(t, []string{"DB_PASSWORD=p"}, b.Environ())
	require.Equal(t, []bundle.Problem{{
		Name:   "GONE",
		Origin: bundle.Origin{Provider: "hashivault", Location: "secret/runners/pool-a#5"},
		Reason: `missing key "gone"`,
	}}, b.Problems())

	kv.Names = map[string]string{"db-password": "SAME", "other": "SAME"}
	require.ErrorContains(t, requireFailure(t, kv, bundle.FetchPermanent), `"SAME" occurs twice`)
}

func TestKV_Settings(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*hashivault.KV)
		says  string
	}{
		"no address":                   {func(k *hashivault.KV) { k.Address = "" }, "the Address is empty; write it like https://vault.example.com"},
		"no URL":                       {func(k *hashivault.KV) { k.Address = "https://a b" }, "the Address is not a valid URL"},
		"no scheme":                    {func(k *hashivault.KV) { k.Address = "vault.example.com" }, "does not start with https://"},
		"no host":                      {func(k *hashivault.KV) { k.Address = "https:///x" }, "has no host"},
		"a password":                   {func(k *hashivault.KV) { k.Address = "https://u:" + canaryToken + "@host" }, "has a user or a password; remove everything from // to @"},
		"a query":                      {func(k *hashivault.KV) { k.Address = "https://host?t=" + canaryToken }, "has a query or a fragment"},
		"a fragment":                   {func(k *hashivault.KV) { k.Address = "https://host#" + canaryToken }, "has a query or a fragment"},
		"http":                         {func(k *hashivault.KV) { k.Address = "http://vault.example.com:8200" }, "would send the token to vault.example.com:8200 in the clear; use https"},
		"no token function":            {func(k *hashivault.KV) { k.Token = nil }, "the Token function is not set"},
		"no path":                      {func(k *hashivault.KV) { k.Path = "" }, `the Path "" is empty; write it like "runners/pool-a"`},
		"a slash before":               {func(k *hashivault.KV) { k.Path = "/a" }, `starts or ends with "/"`},
		"a slash after":                {func(k *hashivault.KV) { k.Mount = "secret/" }, `the Mount "secret/" starts or ends with "/"; write it like "secret"`},
		"an empty segment":             {func(k *hashivault.KV) { k.Path = "a//b" }, `contains "//"`},
		"a way up":                     {func(k *hashivault.KV) { k.Path = "a/../b" }, `has the segment "." or ".."`},
		"a way out of the mount":       {func(k *hashivault.KV) { k.Mount = ".." }, `has the segment "." or ".."`},
		"a line break":                 {func(k *hashivault.KV) { k.Path = "a\n" }, "contains a control character"},
		"a negative version":           {func(k *hashivault.KV) { k.Version = -1 }, "the Version is -1"},
		"a namespace with line breaks": {func(k *hashivault.KV) { k.Namespace = "a\r\nX: y" }, "the Namespace has characters other than"},
		"an invalid name":              {func(k *hashivault.KV) { k.Names = map[string]string{"a": "b-c"} }, `the Names, for the key "a": the name "b-c"`},
	} {
		t.Run(name, func(t *testing.T) {
			kv := serve(t, func(http.ResponseWriter, *http.Request) {
				t.Error("no request is sent with invalid settings")
			})
			test.spoil(kv)
			require.ErrorContains(t, requireFailure(t, kv, bundle.FetchPermanent), test.says)
		})
	}
}

func TestKV_Token(t *testing.T) {
	t.Run("rejects an invalid token", func(t *testing.T) {
		for _, bad := range []string{"", " ", canaryToken + "\n", " " + canaryToken, canaryToken + "\x00x", canaryToken + "ü"} {
			kv := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the token was sent") })
			kv.Token = func(context.Context) (bundle.Value, error) { return bundle.NewValue(bad), nil }
			require.ErrorContains(t, requireFailure(t, kv, bundle.FetchPermanent), "the token ")
		}
	})

	t.Run("keeps the kind of the function's error", func(t *testing.T) {
		kv := says(t, http.StatusOK, written(`{}`))
		cause := errors.New("the agent has not written it yet")
		kv.Token = func(context.Context) (bundle.Value, error) { return bundle.Value{}, cause }
		err := requireFailure(t, kv, bundle.FetchUnavailable)
		require.ErrorIs(t, err, cause)
		require.EqualError(t, err, "hashivault secret/runners/pool-a: getting the token: the agent has not written it yet")

		kv.Token = func(context.Context) (bundle.Value, error) {
			return bundle.Value{}, &bundle.FetchError{Kind: bundle.FetchPermanent, RetryAfter: time.Minute, Err: cause}
		}
		err = requireFailure(t, kv, bundle.FetchPermanent)
		failed, _ := errors.AsType[*bundle.FetchError](err)
		require.Equal(t, time.Minute, failed.RetryAfter)
	})
}

func TestKV_Response(t *testing.T) {
	t.Run("has a kind and a reason for each status", func(t *testing.T) {
		const vaults = `{"errors":["` + canaryValue + `"]}`
		gone := func(fields string) string {
			return `{"data":{"data":null,"metadata":{"version":3,"created_time":"2026-11-23T13:41:48Z",` + fields + `}}}`
		}
		for name, test := range map[string]struct {
			status int
			body   string
			kind   bundle.FetchKind
			reason string
			says   string
		}{
			"no such path":          {404, `{"errors":[]}`, bundle.FetchPermanent, "no-such-path", "secret/runners/pool-a does not exist: check the Path"},
			"no such mount":         {404, `{"errors":["no handler for route \"x\". route entry not found."]}`, bundle.FetchPermanent, "no-such-mount", "no engine is mounted at secret"},
			"deleted":               {404, gone(`"deletion_time":"2026-11-23T13:41:49.06Z","destroyed":false`), bundle.FetchPermanent, "deleted-version", "version 3 was deleted at 2026-11-23T13:41:49Z: undelete it"},
			"destroyed":             {404, gone(`"deletion_time":"","destroyed":true`), bundle.FetchPermanent, "destroyed-version", "version 3 was destroyed"},
			"404 of a proxy":        {404, "<html>" + canaryValue, bundle.FetchUnavailable, "", "the response is not Vault's"},
			"denied":                {403, vaults, bundle.FetchPermanent, "", "its policy lacks read on secret/data/runners/pool-a"},
			"403 of a proxy":        {403, "<html>" + canaryValue, bundle.FetchUnavailable, "", "the response is not Vault's"},
			"401":                   {401, vaults, bundle.FetchUnavailable, "", "the response is not Vault's"},
			"refused":               {400, vaults, bundle.FetchPermanent, "", "check the Address"},
			"being upgraded":        {400, `{"errors":["Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and will resume service shortly."]}`, bundle.FetchUnavailable, "", "try again later"},
			"sealed":                {503, `{"errors":["Vault is sealed"]}`, bundle.FetchUnavailable, "", "Vault is sealed or not ready"},
			"failing":               {500, vaults, bundle.FetchUnavailable, "", "Vault is temporarily unavailable"},
			"a bad gateway":         {502, "<html>", bundle.FetchUnavailable, "", "Vault is temporarily unavailable"},
			"a node that is behind": {412, vaults, bundle.FetchUnavailable, "", "Vault is temporarily unavailable"},
			"busy":                  {429, vaults, bundle.FetchUnavailable, "", "Vault is temporarily unavailable"},
			"a recovery node":       {472, vaults, bundle.FetchUnavailable, "", "Vault is temporarily unavailable"},
			"a standby node":        {473, vaults, bundle.FetchUnavailable, "", "Vault is temporarily unavailable"},
			"no content":            {204, "", bundle.FetchUnavailable, "", "the response is not Vault's"},
			"403 of a gateway":      {403, `{"message":"` + canaryValue + `"}`, bundle.FetchUnavailable, "", "the response is not Vault's"},
			"403 with a list":       {403, `{"errors":[{"code":"` + canaryValue + `"}]}`, bundle.FetchUnavailable, "", "the response is not Vault's"},
			"403 with a string":     {403, `"` + canaryValue + `"`, bundle.FetchUnavailable, "", "the response is not Vault's"},
			"404 of an ingress":     {404, "default backend - 404", bundle.FetchUnavailable, "", "the response is not Vault's"},
			"404 of a gateway":      {404, `{"message":"no Route matched with those values"}`, bundle.FetchUnavailable, "", "the response is not Vault's"},
			"400 of a firewall":     {400, `{}`, bundle.FetchUnavailable, "", "the response is not Vault's"},
			"200 of a gateway":      {200, `{"status":"ok"}`, bundle.FetchUnavailable, "", "the response is not Vault's"},
			"HTML":                  {200, "<html>" + canaryValue, bundle.FetchUnavailable, "not-json", "the response is not Vault's"},
			"no body":               {200, "", bundle.FetchUnavailable, "not-json", "the response is not Vault's"},
			"version 1":             {200, `{"data":{"API_KEY":"` + canaryValue + `"}}`, bundle.FetchPermanent, "not-kv-2", "upgrade the engine"},
			"version 1, a data":     {200, `{"data":{"data":"` + canaryValue + `"}}`, bundle.FetchPermanent, "not-kv-2", "upgrade the engine"},
			"no data":               {200, gone(`"deletion_time":"","destroyed":false`), bundle.FetchPermanent, "not-kv-2", "check the Mount"},
			"a version of 0":        {200, `{"data":{"data":{},"metadata":{"version":0}}}`, bundle.FetchPermanent, "not-kv-2", "check the Mount"},
			"a body over the limit": {200, written(`{"A":"` + strings.Repeat("A", 8<<20) + `"}`), bundle.FetchUnavailable, "answer-too-large", "the response is not Vault's"},
			"a redirect elsewhere":  {307, "", bundle.FetchUnavailable, "", "use the address of the active node"},
		} {
			t.Run(name, func(t *testing.T) {
				kv := says(t, test.status, test.body)
				err := requireFailure(t, kv, test.kind)
				require.ErrorContains(t, err, test.says)
				status, ok := errors.AsType[*providers.StatusError](err)
				require.True(t, ok, "a response is a *providers.StatusError")
				require.Equal(t, test.status, status.StatusCode)
				require.Equal(t, test.reason, status.Reason)
				require.Equal(t, kv.Address+"/v1/secret/data/runners/pool-a", status.URL)
			})
		}
	})

	t.Run("rejects another version than Version", func(t *testing.T) {
		kv := says(t, http.StatusOK, written(`{"A":"1"}`))
		kv.Version = 4
		requireFailure(t, kv, bundle.FetchPermanent)

		kv = says(t, http.StatusNotFound, `{"errors":[]}`)
		kv.Version = 4
		err := requireFailure(t, kv, bundle.FetchPermanent)
		require.ErrorContains(t, err, "secret/runners/pool-a does not exist or has no version 4")
		require.NotContains(t, err.Error(), "?version", "an error contains no query")
	})

	t.Run("passes Retry-After on", func(t *testing.T) {
		for header, want := range map[string]time.Duration{
			"7": 7 * time.Second, "999999": time.Hour, "-1": 0, "soon": 0, "": 0,
		} {
			for _, body := range []string{`{"errors":[]}`, "<html>"} {
				kv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", header)
					w.WriteHeader(http.StatusTooManyRequests)
					_, _ = io.WriteString(w, body)
				})
				failed, _ := errors.AsType[*bundle.FetchError](requireFailure(t, kv, bundle.FetchUnavailable))
				require.Equal(t, want, failed.RetryAfter)
				want = min(want, 50*time.Second) // another server cannot delay the next attempt for long
			}
		}
	})

	t.Run("does not follow redirects", func(t *testing.T) {
		elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the token reached another server") })
		kv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.Address+"/?t="+canaryValue, http.StatusTemporaryRedirect)
		})
		for _, client := range []*http.Client{nil, {}} {
			kv.Client = client
			requireFailure(t, kv, bundle.FetchUnavailable)
		}
	})
}

func TestKV_Connection(t *testing.T) {
	t.Run("ends with the context", func(t *testing.T) {
		arrived, left := make(chan struct{}), make(chan struct{})
		kv := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
			close(left)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		_, err := kv.Fetch(ctx, nil)
		require.ErrorIs(t, err, context.Canceled)
		<-left
	})

	t.Run("ends after Timeout", func(t *testing.T) {
		kv := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		kv.Timeout = time.Millisecond
		err := requireFailure(t, kv, bundle.FetchUnavailable)
		require.ErrorContains(t, err, "no response in time (server 127.0.0.1:")
		require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")
	})

	t.Run("reports why there is no response", func(t *testing.T) {
		t.Run("for a closed port", func(t *testing.T) {
			server := httptest.NewServer(http.NotFoundHandler())
			server.Close()
			kv := &hashivault.KV{Address: server.URL, Token: token, Path: "a"}
			require.ErrorContains(t, requireFailure(t, kv, bundle.FetchUnavailable), "connection refused (server 127.0.0.1:")
		})
		t.Run("for a truncated response", func(t *testing.T) {
			kv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, canaryValue)
			})
			require.ErrorContains(t, requireFailure(t, kv, bundle.FetchUnavailable), "closed before the response was complete")
		})
		t.Run("for an untrusted certificate", func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			defer server.Close()
			kv := &hashivault.KV{Address: server.URL, Token: token, Path: "a"}
			require.ErrorContains(t, requireFailure(t, kv, bundle.FetchUnavailable), "certificate cannot be trusted")
		})
		t.Run("for a response that is not HTTP", func(t *testing.T) {
			kv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					_, _ = io.WriteString(conn, canaryValue+"\r\n\r\n")
					_ = conn.Close()
				}
			})
			requireFailure(t, kv, bundle.FetchUnavailable)
		})
	})

	t.Run("supports TLS", func(t *testing.T) {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, written(`{"A":"1"}`))
		}))
		defer server.Close()
		kv := &hashivault.KV{Address: server.URL, Token: token, Path: "a", Client: server.Client()}
		b, err := kv.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, []string{"A=1"}, b.Environ())
	})
}

func ExampleKV() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"data":{"data":{"API_KEY":"k"},"metadata":{"version":5}}}`)
	}))
	defer server.Close()

	kv := &hashivault.KV{Address: server.URL, Token: token, Path: "runners/pool-a"}
	b, err := kv.Fetch(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	for s := range b.All() {
		fmt.Println(s.Name, "from", s.Origin)
	}
	// Output: API_KEY from hashivault secret/runners/pool-a#5
}
