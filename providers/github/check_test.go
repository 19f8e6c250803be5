package github_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/github"
	"github.com/satchelhq/satchel/providers/internal/gitserver"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

func TestApp_Check(t *testing.T) {
	t.Run("reports a working app", func(t *testing.T) {
		s, app := gitHub(t)
		b, items := app.Check(t.Context())
		remotetest.RequireFixes(t, items)
		require.Equal(t, "ok URL of GitHub\nok key of the GitHub App\nok GitHub App\nok GitHub reachable\nok TLS\nok clock\nok installation\nok token access", remotetest.Summary(items))
		require.Contains(t, remotetest.Item(t, items, "key of the GitHub App").Detail, "signs, 2048 bits, SHA256:")
		require.Equal(t, testApp+", installation 42", remotetest.Item(t, items, "GitHub App").Detail)
		require.Len(t, s.Mints(), 1, "one token is minted")
		again, err := app.Fetch(t.Context(), b)
		require.NoError(t, err)
		require.Same(t, b, again, "the bundle is reused")
	})

	t.Run("warns of too many or too few permissions", func(t *testing.T) {
		s, app := gitHub(t)
		s.Widen(map[string]string{"contents": "read", "workflows": "write"})
		b, items := app.Check(t.Context())
		require.Equal(t, 1, b.Len())
		remotetest.RequireFixes(t, items)
		require.Equal(t, []string{"the token has more access than requested: workflows: write", "the token has less access than requested: contents: read"},
			[]string{items[7].Detail, items[8].Detail})
		require.Equal(t, bundle.CheckWarning, items[7].Status)

		app.Permissions = nil
		_, items = app.Check(t.Context())
		remotetest.RequireFixes(t, items)
		require.Equal(t, bundle.CheckWarning, remotetest.Item(t, items, "least privilege").Status)
	})

	t.Run("reports the part that failed", func(t *testing.T) {
		for name, row := range map[string]struct {
			item   string
			change func(s *gitserver.GitHub, app *github.App)
		}{
			"a replaced key":  {"key accepted", func(s *gitserver.GitHub, _ *github.App) { s.SetKeys(testApp, &nextAppKey().PublicKey) }},
			"no installation": {"installation", func(s *gitserver.GitHub, _ *github.App) { s.Remove(42) }},
			"a suspended one": {"installation", func(s *gitserver.GitHub, _ *github.App) {
				s.Install(42, gitserver.Installation{App: testApp, Suspended: true})
			}},
			"a repository": {"repositories", func(_ *gitserver.GitHub, app *github.App) { app.Repositories = []string{"elsewhere"} }},
			"a permission": {"permissions", func(_ *gitserver.GitHub, app *github.App) {
				app.Permissions = map[string]string{"issues": "write"}
			}},
			"an outage": {"installation", func(s *gitserver.GitHub, _ *github.App) { s.Instead(remotetest.Plainly(503)) }},
		} {
			t.Run(name, func(t *testing.T) {
				s, app := gitHub(t)
				row.change(s, app)
				b, items := app.Check(t.Context())
				require.Nil(t, b)
				remotetest.RequireFixes(t, items)
				require.Equal(t, bundle.CheckFailed, remotetest.Item(t, items, row.item).Status)
				require.Equal(t, bundle.CheckOK, remotetest.Item(t, items, "GitHub reachable").Status, "any response counts")
				require.Len(t, items, 7, "there are no items for later checks")
			})
		}
	})

	t.Run("warns of a wrong clock", func(t *testing.T) {
		s, app := gitHub(t)
		s.SetClock(3 * time.Hour)
		b, items := app.Check(t.Context())
		require.Equal(t, 1, b.Len())
		remotetest.RequireFixes(t, items)
		require.Equal(t, bundle.CheckWarning, remotetest.Item(t, items, "clock").Status)
		require.Contains(t, remotetest.Item(t, items, "clock").Detail, "behind GitHub")
	})

	t.Run("reports an unreachable GitHub", func(t *testing.T) {
		server := httptest.NewServer(nil)
		server.Close()
		b, items := appOf(server.URL, nil).Check(t.Context())
		require.Nil(t, b)
		remotetest.RequireFixes(t, items)
		require.Equal(t, bundle.CheckFailed, remotetest.Item(t, items, "GitHub reachable").Status)
		require.Contains(t, remotetest.Item(t, items, "GitHub reachable").Detail, "connection refused")

		untrusted := remotetest.ListenTLS(t, nil, nil)
		_, items = appOf(untrusted.URL, nil).Check(t.Context())
		remotetest.RequireFixes(t, items)
		require.Equal(t, bundle.CheckFailed, remotetest.Item(t, items, "TLS").Status)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, items = appOf("https://api.github.com", &http.Client{Transport: remotetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			return nil, r.Context().Err()
		})}).Check(ctx)
		remotetest.RequireFixes(t, items)
		require.Equal(t, "allow the check more time", remotetest.Item(t, items, "GitHub reachable").Fix)
	})
}
