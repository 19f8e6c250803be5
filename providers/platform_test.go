package providers_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
	"github.com/satchelhq/satchel/providers/providertest"
)

// newToken returns a token and a function that returns it.
func newToken() (token string, give func(context.Context) (bundle.Value, error)) {
	token, _ = wire.NewToken()
	return token, func(context.Context) (bundle.Value, error) { return bundle.NewValue(token), nil }
}

// runnerOf returns a Platform for a server, with a new token.
func runnerOf(server *httptest.Server) *providers.Platform {
	_, give := newToken()
	return &providers.Platform{URL: server.URL, Token: give, Client: server.Client()}
}

// writeAnswer sends a bundle with the secret A.
func writeAnswer(w http.ResponseWriter, revision, value string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", wire.ETag(revision))
	fmt.Fprintf(w, `{"version":1,"revision":%q,"secrets":[{"name":"A","value":%q}]}`, revision, value)
}

// writeBundle sends a bundle.
func writeBundle(w http.ResponseWriter, secrets []bundle.Secret, meta *bundle.Meta) {
	b, err := bundle.New(secrets, meta)
	if err != nil {
		panic(err)
	}
	data, err := wire.Encode(b)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data)
}

// standIn is a small platform with one token, which supports conditional requests
// and waiting.
type standIn struct {
	token string

	mu       sync.Mutex
	revision int
	secrets  map[string]string
	changed  chan struct{}
	broken   bool
}

func newStandIn(token string, secrets map[string]string) *standIn {
	return &standIn{token: token, revision: 1, secrets: secrets, changed: make(chan struct{})}
}

func (p *standIn) set(secrets map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.secrets = secrets
	p.revision++
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *standIn) breakDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
}

func (p *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken {
		http.Error(w, p.secrets["API_KEY"], http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path != "/api"+wire.BootstrapPath || r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer "+p.token {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	revision := func() string { return fmt.Sprint("revision-", p.revision) }
	if wait := wire.Wait(r.Header.Values("Prefer")); wait > 0 && wire.Revision(r.Header.Get("If-None-Match")) == revision() {
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(wait):
		case <-r.Context().Done():
		}
		p.mu.Lock()
	}
	if wire.Revision(r.Header.Get("If-None-Match")) == revision() {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	var secrets []bundle.Secret
	for name, value := range p.secrets {
		secrets = append(secrets, bundle.Secret{Name: name, Value: bundle.NewValue(value)})
	}
	writeBundle(w, secrets, &bundle.Meta{Revision: revision()})
}

func TestPlatform_Conformance(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Fixture {
		token, give := newToken()
		first := map[string]string{"API_KEY": "first-value-of-the-key", "EMPTY": ""}
		platform := newStandIn(token, maps.Clone(first))
		server := httptest.NewTLSServer(platform)
		t.Cleanup(server.Close)
		return providertest.Fixture{
			Provider: &providers.Platform{URL: server.URL + "/api/", Token: give, Client: server.Client()},
			Want:     first,
			Change: func() map[string]string {
				second := map[string]string{"API_KEY": "second-value-of-the-key", "ANOTHER": "x"}
				platform.set(maps.Clone(second))
				return second
			},
			Break: func() bundle.FetchKind {
				platform.breakDown()
				return bundle.FetchUnavailable
			},
		}
	})
}

func TestPlatform_Fetch(t *testing.T) {
	t.Run("sends the request of the protocol", func(t *testing.T) {
		token, give := newToken()
		var got *http.Request
		server := remotetest.Listen(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.Clone(context.Background())
			writeAnswer(w, "rev-1", "x")
		})
		b := &providers.Platform{URL: server.URL + "/deep/api/", Token: give, Client: server.Client(), Runner: "runner 7 (eu)"}
		first, err := b.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, "GET", got.Method)
		require.Equal(t, "/deep/api/runners/bootstrap", got.RequestURI, "the path is below that of the URL")
		require.Equal(t, "Bearer "+token, got.Header.Get("Authorization"))
		require.Equal(t, "runner 7 (eu)", got.Header.Get("Satchel-Runner"))
		require.Empty(t, got.Header.Values("If-None-Match"), "nothing was fetched before")
		require.Empty(t, got.Header.Values("Prefer"), "Fetch does not wait")
		require.Empty(t, got.Header.Values("Cookie"))
		require.Equal(t, bundle.Origin{Provider: "bootstrap", Location: server.URL}, first.Trace("A")[0], "the origin names the platform")

		_, err = b.Fetch(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, `"rev-1"`, got.Header.Get("If-None-Match"), "last's revision is the entity tag")

		b.Runner = ""
		_, err = b.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, got.Header.Values("Satchel-Runner"), "a runner need not have a name")
	})

	t.Run("calls Token for each request", func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		server := remotetest.Listen(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			writeAnswer(w, "r", "x")
		})
		var given []string
		b := &providers.Platform{URL: server.URL, Client: server.Client(), Token: func(context.Context) (bundle.Value, error) {
			token, _ := wire.NewToken()
			given = append(given, token)
			return bundle.NewValue(token), nil
		}}
		for range 3 {
			_, err := b.Fetch(t.Context(), nil)
			require.NoError(t, err)
		}
		require.Equal(t, given, seen, "a rotated token is used immediately")
	})

	t.Run("returns last itself if nothing changed", func(t *testing.T) {
		for name, handler := range map[string]http.HandlerFunc{
			"304": func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("If-None-Match") == `"rev-1"` {
					w.WriteHeader(http.StatusNotModified)
					return
				}
				writeAnswer(w, "rev-1", "x")
			},
			"200 with the same revision": func(w http.ResponseWriter, _ *http.Request) { writeAnswer(w, "rev-1", "x") },
		} {
			t.Run(name, func(t *testing.T) {
				b := runnerOf(remotetest.Listen(t, handler))
				last, err := b.Fetch(t.Context(), nil)
				require.NoError(t, err)
				again, err := b.Fetch(t.Context(), last)
				require.NoError(t, err)
				require.Same(t, last, again)
			})
		}
	})

	t.Run("rejects a 304 without last", func(t *testing.T) {
		b := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }))
		foreign, err := bundle.New(nil, &bundle.Meta{Revision: "not a tag\r\n"})
		require.NoError(t, err)
		for _, last := range []*bundle.Bundle{nil, foreign} {
			got, err := b.Fetch(t.Context(), last)
			status := requireStatus(t, err, bundle.FetchUnavailable, http.StatusNotModified)
			require.Equal(t, "unasked-unchanged", status.Reason)
			require.Nil(t, got, "the request was not conditional")
		}
	})

	t.Run("is safe for concurrent use", func(t *testing.T) {
		var requests atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			writeAnswer(w, "r", "x")
		}))
		t.Cleanup(server.Close)
		_, give := newToken()
		b := &providers.Platform{URL: server.URL, Token: give} // with the default client
		var all sync.WaitGroup
		errs := make(chan error, 64)
		for range 16 {
			all.Go(func() {
				for range 4 {
					_, err := b.Fetch(t.Context(), nil)
					errs <- err
				}
			})
			all.Go(func() { _ = b.String() })
		}
		all.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
		require.EqualValues(t, 64, requests.Load(), "providers do not cache")
	})

	t.Run("keeps values byte for byte", func(t *testing.T) {
		token, give := newToken()
		want := map[string]string{"A": "", "B": "two\nlines\n", "C": strings.Repeat("é\u2028<>&\"\\", 5000)}
		platform := newStandIn(token, want)
		server := httptest.NewTLSServer(platform)
		t.Cleanup(server.Close)
		b := &providers.Platform{URL: server.URL + "/api", Token: give, Client: server.Client()}
		got, err := b.Fetch(t.Context(), nil)
		require.NoError(t, err)
		values := map[string]string{}
		for s := range got.All() {
			values[s.Name] = s.Value.Reveal()
		}
		require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(values)))
		require.True(t, maps.Equal(want, values), "the values are the same")
	})
}

// requireStatus requires that err has the kind and status of a GET, and returns its
// StatusError.
func requireStatus(t *testing.T, err error, kind bundle.FetchKind, code int) *providers.StatusError {
	t.Helper()
	return remotetest.RequireStatus(t, http.MethodGet, err, kind, code)
}

func TestPlatform_String(t *testing.T) {
	token, _ := wire.NewToken()
	for url, want := range map[string]string{
		"https://satchel.example.com/api": "bootstrap https://satchel.example.com",
		"http://localhost:8080":           "bootstrap http://localhost:8080",
		"https://u:p@satchel.example.com": "bootstrap",
		"https://satchel.example.com?t=x": "bootstrap",
		"https://" + token:                "bootstrap",
		"":                                "bootstrap",
	} {
		require.Equal(t, want, (&providers.Platform{URL: url}).String(), "possible secrets are not shown")
	}
}

func TestPlatform_URL(t *testing.T) {
	t.Run("is validated before a request is sent", func(t *testing.T) {
		token, give := newToken()
		for url, want := range map[string]string{
			"":                                                    "it is empty; write it like https://",
			"https://%zz":                                         "is not a valid URL",
			"https://a b":                                         "is not a valid URL",
			"satchel.example.com":                                 "does not start with https://",
			"satchel.example.com:443/api":                         "does not start with https://",
			"localhost:8080":                                      "does not start with https://",
			"ftp://satchel.example.com":                           "does not start with https://",
			"file:///etc/passwd":                                  "does not start with https://",
			"https:satchel.example.com":                           "has no host",
			"https://":                                            "has no host",
			"https://:443":                                        "has no host",
			"https://canary@satchel.example.com":                  "has a user or a password; remove everything from // to @",
			"https://u:canary@satchel.example":                    "has a user or a password",
			"https://satchel.example.com?canary":                  "has a query; remove the ? and everything after it",
			"https://satchel.example.com/?":                       "has a query",
			"https://satchel.example.com#canary":                  "has a fragment; remove the # and everything after it",
			"https://satchel.example.com/#":                       "has a fragment",
			"http://satchel.example.com/api":                      "http would send the token to satchel.example.com in the clear; use https",
			"http://10.0.0.1":                                     "http would send the token to 10.0.0.1 in the clear",
			"http://localhost.example.com":                        "in the clear",
			"http://128.0.0.1":                                    "in the clear",
			"http://[::2]":                                        "in the clear",
			"http://127.1":                                        "in the clear", // which only some resolvers treat as 127.0.0.1
			"https://satchel.example.com/" + token:                "it contains a runner token",
			"https://satchel.example.com/?token=" + token:         "it contains a runner token",
			"https://" + token + "@satchel.example.com":           "it contains a runner token",
			"https://satchel.example.com/" + "rnt%5F" + token[4:]: "it contains a runner token",
			"http://" + token + ".example.com/" + strings.Repeat("x", 9): "it contains a runner token",
		} {
			t.Run(url, func(t *testing.T) {
				b := &providers.Platform{URL: url, Token: give, Client: remotetest.RefuseDial(t)}
				_, err := b.Fetch(t.Context(), nil)
				remotetest.RequireKind(t, err, bundle.FetchPermanent)
				require.ErrorContains(t, err, "URL of the platform: ")
				require.ErrorContains(t, err, want)
				require.NotContains(t, err.Error(), "canary", "possible secrets are not shown")
				require.NotContains(t, err.Error(), token[4:], "the token is not shown")
				_, err = b.Wait(t.Context(), nil)
				remotetest.RequireKind(t, err, bundle.FetchPermanent)
			})
		}
	})

	t.Run("allows http for this machine only", func(t *testing.T) {
		_, give := newToken()
		for _, url := range []string{"http://localhost", "http://LOCALHOST:1234/api", "http://127.0.0.1:80", "http://127.255.3.4", "http://[::1]:8080"} {
			var sent []string
			b := &providers.Platform{URL: url, Token: give, Client: &http.Client{Transport: remotetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
				sent = append(sent, r.URL.String())
				return nil, errors.New("sent")
			})}}
			_, err := b.Fetch(t.Context(), nil)
			require.Error(t, err)
			require.Equal(t, []string{url + wire.BootstrapPath}, sent, "the request stays on this machine")
		}
	})
}

func TestCheckURL(t *testing.T) {
	for _, url := range []string{"https://satchel.example.com", "https://satchel.example.com/api/", "http://localhost:8080"} {
		require.NoError(t, providers.CheckURL(url), url)
	}
	for _, url := range []string{"", "satchel.example.com", "http://satchel.example.com", "https://u:canary@satchel.example.com", "https://satchel.example.com?canary"} {
		err := providers.CheckURL(url)
		remotetest.RequireKind(t, err, bundle.FetchPermanent)
		fault, ok := errors.AsType[*bundle.Fault](err)
		require.True(t, ok)
		require.Equal(t, "providers.Platform.URL", fault.Setting)
		require.NotEmpty(t, fault.Fix)
		require.NotContains(t, err.Error(), "canary")
		_, fetching := (&providers.Platform{URL: url, Client: remotetest.RefuseDial(t)}).Fetch(t.Context(), nil)
		require.EqualError(t, fetching, err.Error(), "Fetch returns the same error")
	}
}

func TestPlatform_Token(t *testing.T) {
	t.Run("names its setting in an error", func(t *testing.T) {
		b := &providers.Platform{URL: "https://satchel.example.com", Client: remotetest.RefuseDial(t), Token: func(context.Context) (bundle.Value, error) {
			return bundle.NewValue("rnt_canary"), nil
		}}
		_, fetching := b.Fetch(t.Context(), nil)
		setSettings(t, "https://satchel.example.com", "rnt_canary")
		_, reading := providers.PlatformFromEnv()
		for _, err := range []error{fetching, reading} {
			fault, ok := errors.AsType[*bundle.Fault](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, "providers.Platform.Token", fault.Setting)
			require.False(t, fault.Retryable)
			require.ErrorContains(t, err, "the token has 10 characters, want 65; copy all of it")
			require.NotContains(t, err.Error(), "canary")
		}
	})

	t.Run("rejects a malformed token before a request is sent", func(t *testing.T) {
		token, _ := wire.NewToken()
		for given, want := range map[string]string{
			"":                 "runner token: the token is empty",
			token + "\n":       "leading or trailing whitespace; remove it",
			token[:64]:         "want 65; copy all of it",
			"ghp_" + token[4:]: `does not start with "rnt_"`,
			token[:20] + token[21:22] + token[20:21] + token[22:]: "copy it again",
		} {
			if given == token {
				continue // two equal neighbors were swapped
			}
			b := &providers.Platform{URL: "https://satchel.example.com", Client: remotetest.RefuseDial(t), Token: func(context.Context) (bundle.Value, error) {
				return bundle.NewValue(given), nil
			}}
			_, err := b.Fetch(t.Context(), nil)
			remotetest.RequireKind(t, err, bundle.FetchPermanent)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), token[5:15], "the error contains no part of the token")
		}
	})

	t.Run("rejects a missing function", func(t *testing.T) {
		b := &providers.Platform{URL: "https://satchel.example.com", Client: remotetest.RefuseDial(t)}
		_, err := b.Fetch(t.Context(), nil)
		remotetest.RequireKind(t, err, bundle.FetchPermanent)
		require.EqualError(t, err, "runner token: the Token function is not set; set it, or use PlatformFromEnv")
	})

	t.Run("keeps the kind of the function's error", func(t *testing.T) {
		cause := errors.New("the key chain is locked")
		for _, row := range []struct {
			err  error
			want bundle.FetchError
		}{
			{cause, bundle.FetchError{Kind: bundle.FetchUnavailable}},
			{&bundle.FetchError{Kind: bundle.FetchPermanent, Err: cause}, bundle.FetchError{Kind: bundle.FetchPermanent}},
			{fmt.Errorf("reading: %w", &bundle.FetchError{RetryAfter: time.Minute, Err: cause}), bundle.FetchError{RetryAfter: time.Minute}},
		} {
			b := &providers.Platform{URL: "https://satchel.example.com", Client: remotetest.RefuseDial(t), Token: func(context.Context) (bundle.Value, error) {
				return bundle.Value{}, row.err
			}}
			_, err := b.Fetch(t.Context(), nil)
			failure, ok := errors.AsType[*bundle.FetchError](err)
			require.True(t, ok)
			require.Equal(t, row.want.Kind, failure.Kind)
			require.Equal(t, row.want.RetryAfter, failure.RetryAfter)
			require.ErrorIs(t, err, cause)
			require.ErrorContains(t, err, "getting the runner token: ")
		}
	})
}

func TestTokenID(t *testing.T) {
	token, id := wire.NewToken()
	got, ok := providers.TokenID(bundle.NewValue(token))
	require.True(t, ok)
	require.Equal(t, id, got)
	last := byte('0')
	if token[len(token)-1] == last {
		last = '1'
	}
	for name, bad := range map[string]string{
		"empty": "", "a part": token[:64], "more": token + "0", "around": " " + token, "another kind": "ghp" + token[3:],
		"a changed character": token[:len(token)-1] + string(last),
	} {
		id, ok := providers.TokenID(bundle.NewValue(bad))
		require.False(t, ok, name)
		require.Empty(t, id, name)
	}
}

func TestPlatform_Runner(t *testing.T) {
	_, give := newToken()
	for _, name := range []string{"a\r\nX-Evil: 1", "läufer", "\x00", strings.Repeat("x", 129)} {
		b := &providers.Platform{URL: "https://satchel.example.com", Token: give, Client: remotetest.RefuseDial(t), Runner: name}
		_, err := b.Fetch(t.Context(), nil)
		remotetest.RequireKind(t, err, bundle.FetchPermanent)
		require.ErrorContains(t, err, "runner name")
		require.ErrorContains(t, err, "at most 128 printable ASCII characters")
	}
	token, _ := wire.NewToken()
	for _, name := range []string{token, "ci-7 " + token, token[:60], wire.AdminTokenPrefix + token[4:]} {
		b := &providers.Platform{URL: "https://satchel.example.com", Token: give, Client: remotetest.RefuseDial(t), Runner: name}
		_, err := b.Fetch(t.Context(), nil)
		remotetest.RequireKind(t, err, bundle.FetchPermanent)
		require.ErrorContains(t, err, "runner name: it holds a token")
		require.False(t, wire.HoldsToken(err.Error()))
	}
}
