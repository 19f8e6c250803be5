package github_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/github"
	"github.com/satchelhq/satchel/providers/internal/gitserver"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

func TestApp_Revoke(t *testing.T) {
	t.Run("ends the token", func(t *testing.T) {
		s, app := gitHub(t)
		b, err := app.Fetch(t.Context(), nil)
		require.NoError(t, err)
		token := remotetest.OnlySecret(t, b).Value.Reveal()
		require.True(t, s.Alive(token))

		local, err := bundle.New([]bundle.Secret{{Name: "DEBUG", Value: bundle.NewValue("1"), Origin: bundle.Origin{Provider: "env"}}}, nil)
		require.NoError(t, err)
		require.NoError(t, app.Revoke(t.Context(), bundle.Merge(b, local)), "a merged bundle is accepted")
		require.False(t, s.Alive(token))
		require.NoError(t, app.Revoke(t.Context(), b), "a revoked token is not an error")
	})

	t.Run("accepts an expired token", func(t *testing.T) {
		gitHubInBubble(t, func(t *testing.T, s *gitserver.GitHub, app *github.App) {
			b, err := app.Fetch(t.Context(), nil)
			require.NoError(t, err)
			s.SetClock(2 * time.Hour)
			require.False(t, s.Alive(remotetest.OnlySecret(t, b).Value.Reveal()))
			require.NoError(t, app.Revoke(t.Context(), b), "it expired by GitHub's clock, which is a 401")

			time.Sleep(time.Hour)
			app.Client = remotetest.RefuseDial(t)
			require.NoError(t, app.Revoke(t.Context(), b), "it expired by the local clock")
		})
	})

	t.Run("ignores tokens of other origins", func(t *testing.T) {
		_, app := gitHub(t)
		b, err := app.Fetch(t.Context(), nil)
		require.NoError(t, err)
		secret := remotetest.OnlySecret(t, b)

		app.Client = remotetest.RefuseDial(t)
		local := bundle.Secret{Name: "GITHUB_TOKEN", Value: bundle.NewValue("ghp_of-a-person"), Origin: bundle.Origin{Provider: "dotenv", Location: ".env:1"}}
		shared := secret
		shared.Origin = bundle.Origin{Provider: "bootstrap", Location: "https://satchel.example.com via " + secret.Origin.String()}
		other := secret
		other.Origin.Location += "3"
		for name, secrets := range map[string][]bundle.Secret{
			"a local value that shadows": {local},
			"a shared token":             {shared},
			"another installation's":     {other},
			"nothing":                    nil,
		} {
			t.Run(name, func(t *testing.T) {
				b, err := bundle.New(secrets, nil)
				require.NoError(t, err)
				require.NoError(t, app.Revoke(t.Context(), b))
			})
		}
		require.NoError(t, app.Revoke(t.Context(), nil))
	})

	t.Run("reports a failure", func(t *testing.T) {
		s, app := gitHub(t)
		b, err := app.Fetch(t.Context(), nil)
		require.NoError(t, err)
		for status, kind := range map[int]bundle.FetchKind{500: bundle.FetchUnavailable, 503: bundle.FetchUnavailable, 401: bundle.FetchUnavailable, 403: bundle.FetchUnavailable, 404: bundle.FetchUnavailable, 200: bundle.FetchUnavailable} {
			s.Instead(remotetest.Plainly(status))
			err := app.Revoke(t.Context(), b)
			require.Equal(t, app.URL+"/installation/token", remotetest.RequireStatus(t, "DELETE", err, kind, status).URL)
			require.ErrorContains(t, err, "revoking GITHUB_TOKEN: DELETE ")
			require.NotContains(t, err.Error(), "canary")
		}

		s.Instead(says(403, "canary"))
		remotetest.RequireStatus(t, "DELETE", app.Revoke(t.Context(), b), bundle.FetchPermanent, 403)
		s.Instead(gateway(401, "Unauthorized"))
		remotetest.RequireStatus(t, "DELETE", app.Revoke(t.Context(), b), bundle.FetchUnavailable, 401)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, app.Revoke(ctx, b), context.Canceled)

		app.URL = "http://api.github.com"
		remotetest.RequireKind(t, app.Revoke(t.Context(), b), bundle.FetchPermanent)
	})

	t.Run("does not follow a redirect to another origin", func(t *testing.T) {
		var others atomic.Int64
		other := remotetest.Listen(t, func(http.ResponseWriter, *http.Request) { others.Add(1) })
		s, app := gitHub(t)
		b, err := app.Fetch(t.Context(), nil)
		require.NoError(t, err)
		s.Instead(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		})
		require.ErrorContains(t, app.Revoke(t.Context(), b), "redirect-to-other-origin")
		require.Zero(t, others.Load())
	})
}
