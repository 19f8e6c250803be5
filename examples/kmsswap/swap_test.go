package main

import (
	"bytes"
	"crypto/rand"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/internal/gcpkmsserver"
	"github.com/satchelhq/satchel/internal/hashivaulttest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/awskms"
	"github.com/satchelhq/satchel/keyring/gcpkms"
	"github.com/satchelhq/satchel/keyring/hashivault"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// keyServices makes a new KEK in each key service. If you copy this file, keep "fake"
// and the service that you use in production; for "aws" and "gcp", replace the servers
// of internal/ with an emulator or a test key.
var keyServices = map[string]func(t testing.TB) keyring.KEK{
	"fake": func(testing.TB) keyring.KEK {
		return keyringtest.NewFake("test")
	},
	"local": func(t testing.TB) keyring.KEK {
		key := make([]byte, local.KeySize)
		rand.Read(key)
		kek, err := local.New("test", key)
		require.NoError(t, err)
		return kek
	},
	"aws": func(t testing.TB) keyring.KEK {
		server := awskmsserver.New(t)
		arn := server.CreateKey("eu-central-1", "1234abcd-12ab-34cd-56ef-1234567890ab")
		kek, err := awskms.New(server.Client("eu-central-1"), arn)
		require.NoError(t, err)
		return kek
	},
	"gcp": func(t testing.TB) keyring.KEK {
		server := gcpkmsserver.New(t)
		kek, err := gcpkms.New(server.Client(t), server.CreateKey("kek"))
		require.NoError(t, err)
		return kek
	},
	"hashivault": func(t testing.TB) keyring.KEK {
		server := hashivaulttest.Start(t)
		server.Mount(t, "transit", "transit", nil)
		server.Write(t, "transit/keys/satchel", nil)
		kek, err := hashivault.New(server.Root(t), "transit", "satchel")
		require.NoError(t, err)
		return kek
	},
}

// newVault returns a vault with a cold cache, as in a newly started process.
func newVault(t testing.TB, storage store.Store, primary keyring.KEK, retired ...keyring.KEK) *vault.Vault {
	t.Helper()
	keys, err := keyring.New(primary, &keyring.Options{Retired: retired})
	require.NoError(t, err)
	v, err := vault.New(t.Context(), storage, keys, &vault.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return v
}

// value returns the value that a runner gets for a name.
func value(t testing.TB, v *vault.Vault, token bundle.Value, name string) string {
	t.Helper()
	b, err := v.Bootstrap(t.Context(), token, nil)
	require.NoError(t, err)
	secret, ok := b.Get(name)
	require.True(t, ok, "%s is in the bundle", name)
	return secret.Value.Reveal()
}

func TestSwap(t *testing.T) {
	// The test is the same for every key service and does not depend on it.
	t.Run("a value is served under every key service", func(t *testing.T) {
		for service, newKEK := range keyServices {
			t.Run(service, func(t *testing.T) {
				kek, storage := newKEK(t), memstore.New()
				v := newVault(t, storage, kek)
				_, err := v.Put(t.Context(), "acme", "API_KEY", bundle.NewValue("made-up-value-of-acme"), nil)
				require.NoError(t, err)
				token, _, err := v.IssueToken(t.Context(), "acme/web", nil)
				require.NoError(t, err)
				require.Equal(t, "made-up-value-of-acme", value(t, v, token, "API_KEY"))
				require.Equal(t, "made-up-value-of-acme", value(t, newVault(t, storage, kek), token, "API_KEY"), "a new process serves it too")

				rows, err := storage.Read(t.Context(), store.Query{Scope: "acme"})
				require.NoError(t, err)
				require.False(t, bytes.Contains(rows.Path[0].Secrets[0].Message, []byte("made-up")), "the value is stored encrypted")
			})
		}
	})

	// The fake fails on demand, so the test needs no real outage.
	t.Run("runners are served while the key service is down", func(t *testing.T) {
		kek, storage := keyringtest.NewFake("test"), memstore.New()
		v := newVault(t, storage, kek)
		_, err := v.Put(t.Context(), "acme", "API_KEY", bundle.NewValue("made-up-value-of-acme"), nil)
		require.NoError(t, err)
		token, _, err := v.IssueToken(t.Context(), "acme", nil)
		require.NoError(t, err)

		kek.Break(keyring.ErrUnavailable)
		require.Equal(t, "made-up-value-of-acme", value(t, v, token, "API_KEY"), "the data key is cached")
		restarted := newVault(t, storage, kek)
		_, err = restarted.Bootstrap(t.Context(), token, nil)
		require.ErrorIs(t, err, keyring.ErrUnavailable, "a new process needs the key service")
	})
}

func BenchmarkServices(b *testing.B) {
	c := keyring.Context{"purpose": "data-key", "tenant": "acme"}
	dek := bytes.Repeat([]byte{7}, 32)
	for service, newKEK := range keyServices {
		b.Run(service, func(b *testing.B) {
			kek := newKEK(b)
			wrapped, err := kek.Wrap(b.Context(), dek, c)
			require.NoError(b, err)
			b.Run("Wrap", func(b *testing.B) {
				for b.Loop() {
					if _, err := kek.Wrap(b.Context(), dek, c); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("Unwrap", func(b *testing.B) {
				for b.Loop() {
					if _, err := kek.Unwrap(b.Context(), wrapped, c); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
