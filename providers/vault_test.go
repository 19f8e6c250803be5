package providers_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/bitbucket"
	"github.com/satchelhq/satchel/providers/github"
	"github.com/satchelhq/satchel/providers/internal/gitserver"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// platform serves a vault over storage, like a process of a platform, that mints
// tokens for the runners of acme.
func platform(t *testing.T, storage store.Store, kek keyring.KEK, github, bitbucket bundle.Provider) (*vault.Vault, *httptest.Server) {
	t.Helper()
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	v, err := vault.New(t.Context(), storage, keys, &vault.Options{Logger: quiet, Integrations: []vault.Integration{
		{Name: "github", Scope: "acme", Provider: github},
		{Name: "bitbucket", Scope: "acme", Provider: bitbucket},
	}})
	require.NoError(t, err)
	server := httptest.NewTLSServer(vaulthttp.Runners(v, &vaulthttp.Options{Logger: quiet}))
	t.Cleanup(server.Close)
	return v, server
}

// gitHosts returns a GitHub and a Bitbucket on loopback, with a provider for each.
func gitHosts(t *testing.T) (*gitserver.GitHub, *github.App, *gitserver.Bitbucket, *bitbucket.Consumer) {
	t.Helper()
	hub, bucket := gitserver.NewInstalled(""), gitserver.NewBitbucket()
	hubServer, bucketServer := httptest.NewTLSServer(hub), httptest.NewTLSServer(bucket)
	t.Cleanup(hubServer.Close)
	t.Cleanup(bucketServer.Close)
	return hub, gitserver.NewApp(hubServer.URL, hubServer.Client()), bucket, gitserver.NewConsumer(bucketServer.URL, bucketServer.Client())
}

func TestVault_Integrations(t *testing.T) {
	t.Run("mint once for all runners", func(t *testing.T) {
		hub, app, bucket, consumer := gitHosts(t)
		storage, kek := memstore.New(), keyringtest.NewFake("kek")
		v, first := platform(t, storage, kek, app, consumer)
		_, second := platform(t, storage, kek, app, consumer)
		token, _, err := v.IssueToken(t.Context(), "acme/web", nil)
		require.NoError(t, err)

		var seen []*bundle.Bundle
		for _, server := range []*httptest.Server{first, second, first} {
			runner := &providers.Platform{URL: server.URL, Token: remotetest.Give(token.Reveal()), Client: server.Client()}
			b, err := runner.Fetch(t.Context(), nil)
			require.NoError(t, err)
			require.Empty(t, b.Problems())
			seen = append(seen, b)
		}
		git, ok := seen[0].Get("GITHUB_TOKEN")
		require.True(t, ok)
		require.True(t, hub.Alive(git.Value.Reveal()), "GitHub accepts the runner's token")
		require.WithinDuration(t, time.Now().Add(time.Hour), git.Expires, time.Minute, "the runner gets the expiry")
		require.Equal(t, "github", git.Kind)
		require.Equal(t, "acme", git.Scope)
		for _, name := range []string{"GITHUB_TOKEN", "BITBUCKET_TOKEN"} {
			one, ok := seen[0].Get(name)
			require.True(t, ok)
			for _, b := range seen[1:] {
				other, _ := b.Get(name)
				require.True(t, other.Value.Equal(one.Value), "all runners of all processes share a token")
			}
		}
		require.Len(t, hub.Mints(), 1)
		require.Equal(t, []string{"web"}, hub.Mints()[0].Repositories, "only the configured repositories are requested")
		require.Equal(t, 1, bucket.Mints())
	})

	t.Run("report a problem while GitHub rejects them", func(t *testing.T) {
		hub, app, _, consumer := gitHosts(t)
		hub.Instead(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"message":"This installation has been suspended, canary"}`))
		})
		v, server := platform(t, memstore.New(), keyringtest.NewFake("kek"), app, consumer)
		token, _, err := v.IssueToken(t.Context(), "acme", nil)
		require.NoError(t, err)
		_, err = v.Put(t.Context(), "acme", "AI_KEY", bundle.NewValue("k"), nil)
		require.NoError(t, err)
		b, err := (&providers.Platform{URL: server.URL, Token: remotetest.Give(token.Reveal()), Client: server.Client()}).Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, 2, b.Len(), "the other secrets are present")
		require.Len(t, b.Problems(), 1)
		require.Contains(t, b.Problems()[0].Reason, "installation 42 is suspended", "the reason reaches the runner")
		require.NotContains(t, b.Problems()[0].Reason, "canary", "the response is not quoted")
	})
}
