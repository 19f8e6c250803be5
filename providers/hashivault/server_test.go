package hashivault_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/hashivaulttest"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/hashivault"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
	"github.com/satchelhq/satchel/providers/providertest"
)

// documented is the policy of the package comment.
const documented = `path "secret/data/runners/pool-a" { capabilities = ["read"] }`

// start returns a real server with an engine of version 2 at "secret", and a
// provider with the documented policy.
func start(t *testing.T) (*hashivaulttest.Server, *hashivault.KV) {
	t.Helper()
	server := hashivaulttest.Start(t)
	server.Mount(t, "secret", "kv", map[string]string{"version": "2"})
	write(t, server, map[string]any{"API_KEY": "first value of it"})
	return server, provider(server, server.Token(t, documented))
}

func provider(server *hashivaulttest.Server, token string) *hashivault.KV {
	return &hashivault.KV{Address: server.Address, Path: "runners/pool-a", Token: remotetest.Give(token)}
}

// write writes a version. It retries while Vault sets up the engine.
func write(t *testing.T, server *hashivaulttest.Server, data map[string]any) {
	t.Helper()
	root := server.Root(t)
	require.Eventually(t, func() bool {
		_, err := root.Logical().WriteWithContext(t.Context(), "secret/data/runners/pool-a", map[string]any{"data": data})
		return err == nil
	}, time.Minute, 10*time.Millisecond, "writing a version")
}

func requireReason(t *testing.T, p bundle.Provider, kind bundle.FetchKind, reason string) {
	t.Helper()
	status, ok := errors.AsType[*providers.StatusError](requireFailure(t, p, kind))
	require.True(t, ok)
	require.Equal(t, reason, status.Reason)
}

func TestServer_Conformance(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Fixture {
		server, kv := start(t)
		return providertest.Fixture{
			Provider: kv,
			Want:     map[string]string{"API_KEY": "first value of it"},
			Change: func() map[string]string {
				write(t, server, map[string]any{"API_KEY": "second value of it", "MORE": "x"})
				return map[string]string{"API_KEY": "second value of it", "MORE": "x"}
			},
			Break: func() bundle.FetchKind {
				server.Seal(t)
				return bundle.FetchUnavailable
			},
		}
	})
}

func TestServer(t *testing.T) {
	t.Run("returns the requested version", func(t *testing.T) {
		server, kv := start(t)
		first, err := kv.Fetch(t.Context(), nil)
		require.NoError(t, err)
		s, _ := first.Get("API_KEY")
		require.Equal(t, int64(1), s.Version)
		require.False(t, s.Rotated.IsZero())
		require.Equal(t, s.Rotated, s.Created, "version 1 has the creation time")

		write(t, server, map[string]any{"API_KEY": "second"})
		second, err := kv.Fetch(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, []string{"API_KEY=second"}, second.Environ())
		s, _ = second.Get("API_KEY")
		require.Equal(t, int64(2), s.Version)
		require.Zero(t, s.Created)

		kv.Version = 1
		again, err := kv.Fetch(t.Context(), first)
		require.NoError(t, err)
		require.Same(t, first, again, "an old version does not change")
		kv.Version = 3
		requireReason(t, kv, bundle.FetchPermanent, "no-such-path")
	})

	t.Run("distinguishes deleted, destroyed and missing paths", func(t *testing.T) {
		server, kv := start(t)
		server.Delete(t, "secret/data/runners/pool-a")
		requireReason(t, kv, bundle.FetchPermanent, "deleted-version")
		server.Write(t, "secret/undelete/runners/pool-a", map[string]any{"versions": []int{1}})
		_, err := kv.Fetch(t.Context(), nil)
		require.NoError(t, err, "an undeleted version is readable again")
		server.Write(t, "secret/destroy/runners/pool-a", map[string]any{"versions": []int{1}})
		requireReason(t, kv, bundle.FetchPermanent, "destroyed-version")
		server.Delete(t, "secret/metadata/runners/pool-a")
		requireReason(t, kv, bundle.FetchPermanent, "no-such-path")

		root := provider(server, server.RootToken)
		root.Mount = "nothing"
		requireReason(t, root, bundle.FetchPermanent, "no-such-mount")

		server.Mount(t, "kv1", "kv", nil)
		root.Mount = "kv1"
		requireReason(t, root, bundle.FetchPermanent, "no-such-path")
		server.Write(t, "kv1/data/runners/pool-a", map[string]any{"API_KEY": canaryValue})
		requireReason(t, root, bundle.FetchPermanent, "not-kv-2")

		server.Mount(t, "transit", "transit", nil)
		root.Mount = "transit"
		requireFailure(t, root, bundle.FetchPermanent)
	})

	t.Run("sets Expires from delete_version_after", func(t *testing.T) {
		server, kv := start(t)
		server.Write(t, "secret/metadata/runners/pool-a", map[string]any{"delete_version_after": "1h"})
		write(t, server, map[string]any{"API_KEY": "x"})
		b, err := kv.Fetch(t.Context(), nil)
		require.NoError(t, err)
		s, _ := b.Get("API_KEY")
		require.Equal(t, time.Hour, s.Expires.Sub(s.Rotated))
	})

	t.Run("rejects an invalid token permanently", func(t *testing.T) {
		server, kv := start(t)
		old := server.Token(t, documented)
		kv.Token = remotetest.Give(old)
		last, err := kv.Fetch(t.Context(), nil)
		require.NoError(t, err)

		server.Revoke(t, old)
		err = requireFailure(t, kv, bundle.FetchPermanent)
		require.ErrorContains(t, err, "the token is invalid or has expired, or its policy lacks read on secret/data/runners/pool-a")
		kv.Token = remotetest.Give(server.Token(t, ""))
		requireFailure(t, kv, bundle.FetchPermanent)
		kv.Token = remotetest.Give("hvs.unknown")
		requireFailure(t, kv, bundle.FetchPermanent)

		current := server.Token(t, documented)
		kv.Token = remotetest.Give(current)
		again, err := kv.Fetch(t.Context(), last)
		require.NoError(t, err, "the next token is used")
		require.Same(t, last, again)

		created, err := server.Root(t).Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{TTL: "1s"})
		require.NoError(t, err)
		kv.Token = remotetest.Give(created.Auth.ClientToken)
		require.Eventually(t, func() bool {
			_, err := server.Root(t).Auth().Token().LookupWithContext(t.Context(), created.Auth.ClientToken)
			return err != nil
		}, time.Minute, 50*time.Millisecond, "Vault expires the token")
		requireFailure(t, kv, bundle.FetchPermanent)
	})

	t.Run("is unavailable while sealed", func(t *testing.T) {
		server, kv := start(t)
		last, err := kv.Fetch(t.Context(), nil)
		require.NoError(t, err)
		server.Seal(t)
		require.ErrorContains(t, requireFailure(t, kv, bundle.FetchUnavailable), "Vault is sealed")
		server.Unseal(t)
		again, err := kv.Fetch(t.Context(), last)
		require.NoError(t, err)
		require.Same(t, last, again)
		server.Stop()
		requireFailure(t, kv, bundle.FetchUnavailable)
	})
}
