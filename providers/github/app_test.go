package github_test

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/github"
	"github.com/satchelhq/satchel/providers/internal/gitserver"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
	"github.com/satchelhq/satchel/providers/providertest"
)

const testApp = gitserver.AppID

var appKey, nextAppKey, appOf = gitserver.AppKey, gitserver.NextAppKey, gitserver.NewApp

// gitHub returns a GitHub on loopback and an app for it.
func gitHub(t *testing.T) (*gitserver.GitHub, *github.App) {
	t.Helper()
	s := gitserver.NewInstalled("")
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	return s, appOf(server.URL, server.Client())
}

// gitHubInBubble does the same through pipes, in a synctest bubble.
func gitHubInBubble(t *testing.T, test func(t *testing.T, s *gitserver.GitHub, app *github.App)) {
	t.Helper()
	appKey() // generated once, outside the bubble
	s := gitserver.NewInstalled("")
	remotetest.ThroughPipes(t, s, func(t *testing.T, client *http.Client) { test(t, s, appOf("http://localhost", client)) })
}

// The suite cannot change or break the source, because Fetch with last sends no
// request while the token is valid. Tests of renewal cover both.
func TestApp_Conformance(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Fixture {
		s, app := gitHub(t)
		s.SetToken("ghs_ThisTokenIsGivenEachTime0000000000")
		return providertest.Fixture{Provider: app, Want: map[string]string{"GITHUB_TOKEN": "ghs_ThisTokenIsGivenEachTime0000000000"}}
	})
}

func TestApp_Fetch(t *testing.T) {
	t.Run("requests exactly the repositories and permissions of its fields", func(t *testing.T) {
		gitHubInBubble(t, func(t *testing.T, s *gitserver.GitHub, app *github.App) {
			app.Repositories = []string{"web", "api"}
			app.Permissions = map[string]string{"contents": "read", "issues": "read"}
			b, err := app.Fetch(t.Context(), nil)
			require.NoError(t, err)
			now := time.Now()
			mint := s.Mints()[0]
			require.Equal(t, []string{"web", "api"}, mint.Repositories)
			require.Equal(t, map[string]string{"contents": "read", "issues": "read"}, mint.Permissions)
			require.Equal(t, testApp, mint.Claims.Issuer)
			require.Equal(t, now.Add(-time.Minute).Unix(), mint.Claims.Issued, "a clock that is slightly ahead is tolerated")
			require.Less(t, mint.Claims.Expires-now.Unix(), int64(600), "GitHub allows at most ten minutes")

			secret := remotetest.OnlySecret(t, b)
			require.Equal(t, "GITHUB_TOKEN", secret.Name)
			require.Equal(t, mint.Token, secret.Value.Reveal())
			require.Equal(t, "github", secret.Kind)
			require.Equal(t, bundle.Origin{Provider: "github", Location: "http://localhost installation 42"}, secret.Origin)
			require.True(t, secret.Rotated.Equal(now), "the age of a token counts from its request")
			require.True(t, secret.Expires.Equal(now.Add(time.Hour)), "GitHub sets the expiry")
			require.Equal(t, secret.Expires, b.Expires())
			require.Empty(t, b.Problems(), "every token has metadata: read")
		})
	})

	t.Run("omits empty lists from the request", func(t *testing.T) {
		s, app := gitHub(t)
		var body atomic.Value
		s.Instead(func(w http.ResponseWriter, r *http.Request) {
			var got map[string]any
			_ = json.NewDecoder(r.Body).Decode(&got)
			body.Store(got)
			writeGrant(w, map[string]any{})
		})
		app.Repositories, app.Permissions, app.Name = nil, nil, "GH_TOKEN"
		b, err := app.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, body.Load(), "GitHub would treat an empty list as a restriction")
		require.Equal(t, "GH_TOKEN", remotetest.OnlySecret(t, b).Name)
		require.Empty(t, b.Problems(), "nothing was requested by name")
	})

	t.Run("accepts a numeric app id", func(t *testing.T) {
		s, app := gitHub(t)
		app.AppID = "123456"
		s.SetKeys("123456", &appKey().PublicKey)
		s.Install(7, gitserver.Installation{App: "123456", Permissions: map[string]string{"contents": "read"}})
		app.InstallationID, app.Repositories, app.Permissions = 7, nil, nil
		_, err := app.Fetch(t.Context(), nil)
		require.NoError(t, err)
	})

	t.Run("supports an API below a path", func(t *testing.T) {
		s := gitserver.NewInstalled("/api/v3")
		server := httptest.NewTLSServer(s)
		t.Cleanup(server.Close)
		for _, path := range []string{"/api/v3", "/api/v3/"} {
			app := appOf(server.URL+path, server.Client())
			b, err := app.Fetch(t.Context(), nil)
			require.NoError(t, err)
			require.NoError(t, app.Revoke(t.Context(), b))
			require.False(t, s.Alive(remotetest.OnlySecret(t, b).Value.Reveal()))
		}
		_, err := appOf(server.URL, server.Client()).Fetch(t.Context(), nil)
		status := remotetest.RequireStatus(t, "POST", err, bundle.FetchPermanent, 404)
		require.Equal(t, server.URL+"/app/installations/42/access_tokens", status.URL)
		require.ErrorContains(t, err, "or ends in /api/v3")
	})

	t.Run("renews a token at 40 percent of its lifetime", func(t *testing.T) {
		gitHubInBubble(t, func(t *testing.T, s *gitserver.GitHub, app *github.App) {
			last, err := app.Fetch(t.Context(), nil)
			require.NoError(t, err)
			for range 36 {
				time.Sleep(time.Minute)
				next, err := app.Fetch(t.Context(), last)
				require.NoError(t, err)
				require.Same(t, last, next, "enough of the lifetime is left")
			}
			require.Len(t, s.Mints(), 1)

			time.Sleep(time.Second)
			next, err := app.Fetch(t.Context(), last)
			require.NoError(t, err)
			require.Equal(t, []string{"GITHUB_TOKEN"}, bundle.Compare(last, next).Changed)
			require.NotEqual(t, last.Revision(), next.Revision())
			require.Len(t, s.Mints(), 2)
			require.True(t, s.Alive(remotetest.OnlySecret(t, last).Value.Reveal()), "the previous token remains valid for running jobs")
		})
	})

	t.Run("keeps only a valid token of the same settings", func(t *testing.T) {
		s, app := gitHub(t)
		last, err := app.Fetch(t.Context(), nil)
		require.NoError(t, err)
		next, err := app.Fetch(t.Context(), last)
		require.NoError(t, err)
		require.Same(t, last, next)

		for name, change := range map[string]func(app *github.App){
			"other repositories": func(app *github.App) { app.Repositories = []string{"docs"} },
			"another permission": func(app *github.App) { app.Permissions = map[string]string{"issues": "read"} },
			"another level":      func(app *github.App) { app.Permissions = map[string]string{"contents": "read"} },
			"another name":       func(app *github.App) { app.Name = "GH_TOKEN" },
			"another address":    func(app *github.App) { app.URL = strings.Replace(app.URL, "127.0.0.1", "example.com", 1) },
			"all repositories":   func(app *github.App) { app.Repositories = nil },
			"another path":       func(app *github.App) { app.URL += "/api" },
			"another app id":     func(app *github.App) { app.AppID = "123456" },
		} {
			t.Run(name, func(t *testing.T) {
				other := appOf(app.URL, app.Client)
				change(other)
				got, _ := other.Fetch(t.Context(), last)
				require.NotSame(t, last, got, "the token was requested with other settings")
			})
		}

		secret, meta := remotetest.OnlySecret(t, last), last.Meta()
		for name, made := range map[string]func() []bundle.Secret{
			"from the future": func() []bundle.Secret {
				secret := secret
				secret.Rotated = secret.Rotated.Add(2 * time.Hour)
				secret.Expires = secret.Expires.Add(2 * time.Hour)
				return []bundle.Secret{secret}
			},
			"without Rotated": func() []bundle.Secret { secret := secret; secret.Rotated = time.Time{}; return []bundle.Secret{secret} },
			"without Expires": func() []bundle.Secret { secret := secret; secret.Expires = time.Time{}; return []bundle.Secret{secret} },
			"of another origin": func() []bundle.Secret {
				secret := secret
				secret.Origin.Provider = "env"
				return []bundle.Secret{secret}
			},
			"with another secret": func() []bundle.Secret { return []bundle.Secret{secret, {Name: "A"}} },
			"empty":               func() []bundle.Secret { return nil },
		} {
			t.Run(name, func(t *testing.T) {
				before := len(s.Mints())
				strange, err := bundle.New(made(), &meta)
				require.NoError(t, err)
				got, err := app.Fetch(t.Context(), strange)
				require.NoError(t, err)
				require.NotSame(t, strange, got)
				require.Len(t, s.Mints(), before+1)
			})
		}
	})

	t.Run("keeps a valid token during an outage", func(t *testing.T) {
		gitHubInBubble(t, func(t *testing.T, s *gitserver.GitHub, app *github.App) {
			last, err := app.Fetch(t.Context(), nil)
			require.NoError(t, err)
			s.Instead(remotetest.Plainly(503))
			next, err := app.Fetch(t.Context(), last)
			require.NoError(t, err, "no request is needed")
			require.Same(t, last, next)

			time.Sleep(40 * time.Minute)
			next, err = app.Fetch(t.Context(), last)
			require.Nil(t, next)
			remotetest.RequireStatus(t, "POST", err, bundle.FetchUnavailable, 503)
		})
	})
}

func TestApp_Settings(t *testing.T) {
	long := make([]string, 501)
	for i := range long {
		long[i] = fmt.Sprint("repository-", i)
	}
	for name, row := range map[string]struct {
		change func(app *github.App)
		want   string
	}{
		"a URL in the clear":      {func(app *github.App) { app.URL = "http://api.github.com" }, "URL of GitHub: http would send the token to api.github.com in the clear; use https"},
		"a URL with a token":      {func(app *github.App) { app.URL = "https://canary@api.github.com" }, "URL of GitHub: it has a user or a password"},
		"no app id":               {func(app *github.App) { app.AppID = "" }, "AppID is empty; copy the client id"},
		"a secret as the app id":  {func(app *github.App) { app.AppID = strings.Repeat("canary99", 5) }, "AppID is not a client id"},
		"a key as the app id":     {func(app *github.App) { app.AppID = "-----BEGIN canary" }, "AppID is not a client id"},
		"no installation":         {func(app *github.App) { app.InstallationID = 0 }, "InstallationID is not set"},
		"a negative installation": {func(app *github.App) { app.InstallationID = -42 }, "InstallationID is not set"},
		"no key":                  {func(app *github.App) { app.Key = nil }, "Key is not set; set it, for example with ParseKey"},
		"a nil RSA key":           {func(app *github.App) { app.Key = (*rsa.PrivateKey)(nil) }, "Key is not set; set it, for example with ParseKey"},
		"an empty RSA key":        {func(app *github.App) { app.Key = &rsa.PrivateKey{} }, "Key is not set; set it, for example with ParseKey"},
		"an owner":                {func(app *github.App) { app.Repositories = []string{"web", "canary/web"} }, "repository 2 has an owner; write web, not acme/web"},
		"a strange repository":    {func(app *github.App) { app.Repositories = []string{"canary web"} }, "repository 1 is not a repository name"},
		"an empty repository":     {func(app *github.App) { app.Repositories = []string{""} }, "repository 1 is not a repository name"},
		"too many repositories":   {func(app *github.App) { app.Repositories = long }, "501 repositories are listed; list at most 500"},
		"a strange permission":    {func(app *github.App) { app.Permissions = map[string]string{"Canary-1": "read"} }, "invalid permission name"},
		"a strange level":         {func(app *github.App) { app.Permissions = map[string]string{"contents": "canary"} }, "permission contents has an invalid level; use read, write or admin"},
		"a name with a hyphen":    {func(app *github.App) { app.Name = "GITHUB-TOKEN" }, `Name: the name "GITHUB-TOKEN" has '-'`},
		"a key that is not RSA":   {func(app *github.App) { app.Key = ecKey(t) }, "it is not an RSA key"},
		"a key that is too weak":  {func(app *github.App) { app.Key = weakKey }, "it has 1024 bits; use one of at least 2048"},
	} {
		t.Run(name, func(t *testing.T) {
			app := appOf("https://api.github.com", remotetest.RefuseDial(t))
			row.change(app)
			got, err := app.Fetch(t.Context(), nil)
			require.Nil(t, got)
			remotetest.RequireKind(t, err, bundle.FetchPermanent)
			require.ErrorContains(t, err, row.want)
			require.NotContains(t, err.Error(), "canary", "possible secrets are not quoted")

			_, items := app.Check(t.Context())
			remotetest.RequireFixes(t, items)
			require.Contains(t, remotetest.Summary(items), "failed ")
			require.NotContains(t, fmt.Sprintf("%+v", items), "canary")
		})
	}
}

func TestApp_String(t *testing.T) {
	for url, want := range map[string]string{
		"":                                    "github https://api.github.com installation 42",
		"https://ghe.example.com/api/v3":      "github https://ghe.example.com installation 42",
		"https://canary@api.github.com":       "github",
		"https://api.github.com?token=canary": "github",
	} {
		require.Equal(t, want, (&github.App{URL: url, InstallationID: 42}).String(), "possible secrets are not shown")
	}
}

func TestApp_Context(t *testing.T) {
	appKey()
	var gone atomic.Bool
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server detects the end only after the body
		<-r.Context().Done()
		gone.Store(true)
	})
	remotetest.ThroughPipes(t, handler, func(t *testing.T, client *http.Client) {
		app := appOf("http://localhost", client)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := app.Fetch(ctx, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		remotetest.RequireKind(t, err, bundle.FetchUnavailable)
		require.EqualError(t, err, "github http://localhost installation 42: context deadline exceeded")
		require.Equal(t, 3*time.Second, time.Since(start))
		synctest.Wait()
		require.True(t, gone.Load(), "the request is canceled at GitHub")

		start = time.Now()
		_, err = app.Fetch(t.Context(), nil)
		remotetest.RequireKind(t, err, bundle.FetchUnavailable)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")
		require.ErrorContains(t, err, "POST http://localhost/app/installations/42/access_tokens: no response in time; check the URL")
		require.Equal(t, 30*time.Second, time.Since(start), "the default")
	})

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := appOf("https://api.github.com", remotetest.RefuseDial(t)).Fetch(ctx, nil)
	require.ErrorIs(t, err, context.Canceled, "no request is sent")
}

func TestApp_Redirect(t *testing.T) {
	t.Run("is not followed to another origin", func(t *testing.T) {
		var others atomic.Int64
		other := remotetest.Listen(t, func(http.ResponseWriter, *http.Request) { others.Add(1) })
		s, app := gitHub(t)
		for _, status := range []int{301, 302, 303, 307, 308} {
			s.Instead(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+r.URL.Path, status) })
			_, err := app.Fetch(t.Context(), nil)
			require.Equal(t, "redirect-to-other-origin", remotetest.RequireStatus(t, "POST", err, bundle.FetchUnavailable, status).Reason)
			require.ErrorContains(t, err, "the token is not sent to another origin: if GitHub has moved, set its new URL")
		}
		require.Zero(t, others.Load())
	})

	t.Run("keeps method and body within the origin", func(t *testing.T) {
		s, app := gitHub(t)
		for _, status := range []int{307, 308} {
			s.Instead(func(w http.ResponseWriter, r *http.Request) {
				s.Instead(nil)
				http.Redirect(w, r, r.URL.Path, status)
			})
			_, err := app.Fetch(t.Context(), nil)
			require.NoError(t, err)
		}
		require.Equal(t, []string{"web"}, s.Mints()[1].Repositories, "the body is sent again after a redirect")

		for _, status := range []int{301, 302, 303} {
			s.Instead(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, status) })
			_, err := app.Fetch(t.Context(), nil)
			require.Equal(t, "redirect-changes-method", remotetest.RequireStatus(t, "POST", err, bundle.FetchUnavailable, status).Reason)
		}
		s.Instead(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		})
		_, err := app.Fetch(t.Context(), nil)
		require.Equal(t, "too-many-redirects", remotetest.RequireStatus(t, "POST", err, bundle.FetchUnavailable, 307).Reason)
	})
}

// writeGrant sends GitHub's response, with changes.
func writeGrant(w http.ResponseWriter, changes map[string]any) {
	answer := map[string]any{
		"token": "ghs_granted", "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		"permissions": map[string]string{"contents": "write", "metadata": "read"}, "repository_selection": "selected",
		"repositories": []any{map[string]any{"id": 1, "name": "web", "full_name": "acme/web"}},
	}
	maps.Copy(answer, changes)
	maps.DeleteFunc(answer, func(_ string, v any) bool { return v == nil })
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(answer)
}

// grantedTo returns the bundle of a token from s.
func grantedTo(t *testing.T, s *gitserver.GitHub, app *github.App) *bundle.Bundle {
	t.Helper()
	s.Instead(nil)
	b, err := app.Fetch(t.Context(), nil)
	require.NoError(t, err)
	return b
}

// counting returns a client that counts its requests.
func counting(client *http.Client, requests *atomic.Int64) *http.Client {
	counted := *client
	counted.Transport = remotetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		requests.Add(1)
		return client.Transport.RoundTrip(r)
	})
	return &counted
}
