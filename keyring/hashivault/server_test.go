package hashivault_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/hashivaulttest"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/hashivault"
	"github.com/satchelhq/satchel/keyring/internal/kmstest"
	"github.com/satchelhq/satchel/keyring/keyringtest"
)

// documented is the policy in the package comment.
const documented = `
path "transit/encrypt/satchel" { capabilities = ["update"] }
path "transit/decrypt/satchel" { capabilities = ["update"] }
`

// start returns a real server with a transit engine and a key "satchel".
func start(t *testing.T) *hashivaulttest.Server {
	t.Helper()
	server := hashivaulttest.Start(t)
	server.Mount(t, "transit", "transit", nil)
	server.Write(t, "transit/keys/satchel", nil)
	return server
}

func newKEK(t *testing.T, client *api.Client, keyName string) *hashivault.KEK {
	t.Helper()
	kek, err := hashivault.New(client, "transit", keyName)
	require.NoError(t, err)
	return kek
}

// requireRefused requires that Unwrap of w fails with class.
func requireRefused(t *testing.T, kek keyring.KEK, w keyring.WrappedKey, class error) {
	t.Helper()
	got, err := kek.Unwrap(t.Context(), w, tenant)
	kmstest.RequireClass(t, err, class)
	require.Nil(t, got)
	leaktest.NoCanary(t, err.Error(), "the error", canaries...)
}

// requireNoWrap requires that Wrap fails with class.
func requireNoWrap(t *testing.T, kek keyring.KEK, class error) {
	t.Helper()
	w, err := kek.Wrap(t.Context(), canaryKey, tenant)
	kmstest.RequireClass(t, err, class)
	require.Zero(t, w)
	leaktest.NoCanary(t, err.Error(), "the error", canaries...)
}

// A breakable KEK implements keyringtest.Breaker.
type breakable struct {
	*hashivault.KEK
	t      *testing.T
	server *hashivaulttest.Server
	client *api.Client
	key    string
	repair func()
}

func (b *breakable) Break(class error) bool {
	switch class {
	case nil:
		b.repair()
		b.repair = func() {}
	case keyring.ErrUnavailable:
		b.server.Seal(b.t)
		b.repair = func() { b.server.Unseal(b.t) }
	case keyring.ErrDenied:
		b.client.SetToken(b.server.Token(b.t, ""))
		b.repair = func() { b.client.SetToken(b.server.RootToken) }
	case keyring.ErrNoKey:
		saved, err := b.server.Root(b.t).Logical().ReadWithContext(b.t.Context(), "transit/backup/"+b.key)
		require.NoError(b.t, err)
		b.server.Delete(b.t, "transit/keys/"+b.key)
		b.repair = func() {
			b.server.Write(b.t, "transit/restore/"+b.key, map[string]any{"backup": saved.Data["backup"]})
		}
	default:
		return false // Wrap cannot fail like this: it uses the newest version
	}
	return true
}

func TestKEK_Suite(t *testing.T) {
	server := hashivaulttest.Start(t)
	server.Mount(t, "transit", "transit", nil)
	keyringtest.Run(t, func(t *testing.T, id string) keyring.KEK {
		// Subtests use the same IDs, and each needs its own keys.
		id = strings.NewReplacer("/", "-").Replace(t.Name()) + "." + id
		server.Write(t, "transit/keys/"+id, map[string]any{"exportable": true, "allow_plaintext_backup": true})
		server.Write(t, "transit/keys/"+id+"/config", map[string]any{"deletion_allowed": true})
		client := server.Root(t)
		return &breakable{newKEK(t, client, id), t, server, client, id, func() {}}
	})
}

func TestServer_KeyTypes(t *testing.T) {
	server := start(t)
	for _, kind := range []string{"aes128-gcm96", "aes256-gcm96", "chacha20-poly1305"} {
		t.Run(kind, func(t *testing.T) {
			server.Write(t, "transit/keys/"+kind, map[string]any{"type": kind})
			kek := newKEK(t, server.Root(t), kind)
			w := kmstest.Wrap(t, kek)
			kmstest.RequireUnwraps(t, kek, w)
			_, err := kek.Unwrap(t.Context(), w, keyring.Context{"purpose": "data-key", "tenant": "other"})
			kmstest.RequireClass(t, err, keyring.ErrTampered)
			require.Equal(t, "1", w.Version)
		})
	}
}

func TestServer_KeyTypesRejected(t *testing.T) {
	server := start(t)
	for name, settings := range map[string]map[string]any{
		"rsa-2048":   {"type": "rsa-2048"},
		"ed25519":    {"type": "ed25519"},
		"ecdsa-p256": {"type": "ecdsa-p256"},
		"hmac":       {"type": "hmac", "key_size": 32},
		"derived":    {"derived": true},
		"convergent": {"derived": true, "convergent_encryption": true},
	} {
		t.Run(name, func(t *testing.T) {
			server.Write(t, "transit/keys/"+name, settings)
			kek := newKEK(t, server.Root(t), name)
			requireNoWrap(t, kek, keyring.ErrKeyState)
			w := wrappedKey()
			w.KEK = kek.ID()
			w.Blob = []byte("vault:v1:" + base64.StdEncoding.EncodeToString(make([]byte, 60)))
			requireRefused(t, kek, w, keyring.ErrKeyState)
		})
	}
}

func TestServer_Policy(t *testing.T) {
	t.Run("the documented policy is sufficient", func(t *testing.T) {
		server := start(t)
		kek := newKEK(t, server.Client(t, server.Token(t, documented)), "satchel")
		kmstest.RequireUnwraps(t, kek, kmstest.Wrap(t, kek))
		keys, err := keyring.New(kek, nil)
		require.NoError(t, err)
		require.NoError(t, keys.Check(t.Context()))
	})

	t.Run("an insufficient policy is denied", func(t *testing.T) {
		server := start(t)
		w := kmstest.Wrap(t, newKEK(t, server.Root(t), "satchel"))

		nothing := newKEK(t, server.Client(t, server.Token(t, "")), "satchel")
		requireNoWrap(t, nothing, keyring.ErrDenied)
		requireRefused(t, nothing, w, keyring.ErrDenied)

		encrypts := newKEK(t, server.Client(t, server.Token(t, `path "transit/encrypt/satchel" { capabilities = ["update"] }`)), "satchel")
		requireNoWrap(t, encrypts, keyring.ErrDenied) // a key without proof is not used
		requireRefused(t, encrypts, w, keyring.ErrDenied)

		decrypts := newKEK(t, server.Client(t, server.Token(t, `path "transit/decrypt/satchel" { capabilities = ["update"] }`)), "satchel")
		requireNoWrap(t, decrypts, keyring.ErrDenied)
		kmstest.RequireUnwraps(t, decrypts, w)
	})
}

func TestServer_Token(t *testing.T) {
	server := start(t)
	w := kmstest.Wrap(t, newKEK(t, server.Root(t), "satchel"))

	t.Run("revoked", func(t *testing.T) {
		token := server.Token(t, documented)
		client := server.Client(t, token)
		kek := newKEK(t, client, "satchel")
		kmstest.RequireUnwraps(t, kek, w)
		server.Revoke(t, token)
		requireRefused(t, kek, w, keyring.ErrDenied)
		requireNoWrap(t, kek, keyring.ErrDenied)

		client.SetToken(server.Token(t, documented))
		kmstest.RequireUnwraps(t, kek, w) // the client uses its next token
	})
	t.Run("expired", func(t *testing.T) {
		root := server.Root(t)
		created, err := root.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{TTL: "1s"})
		require.NoError(t, err)
		kek := newKEK(t, server.Client(t, created.Auth.ClientToken), "satchel")
		require.Eventually(t, func() bool {
			_, err := root.Auth().Token().LookupWithContext(t.Context(), created.Auth.ClientToken)
			return err != nil
		}, time.Minute, 50*time.Millisecond, "Vault expires the token")
		requireRefused(t, kek, w, keyring.ErrDenied)
	})
	t.Run("unknown", func(t *testing.T) {
		requireRefused(t, newKEK(t, server.Client(t, "hvs.unknown"), "satchel"), w, keyring.ErrDenied)
	})
	t.Run("empty", func(t *testing.T) {
		requireRefused(t, newKEK(t, server.Client(t, ""), "satchel"), w, keyring.ErrDenied)
	})
}

func TestServer_Rotation(t *testing.T) {
	t.Run("a rotated key makes older records stale", func(t *testing.T) {
		server := start(t)
		keys, err := keyring.New(newKEK(t, server.Root(t), "satchel"), nil)
		require.NoError(t, err)
		require.NoError(t, keys.Check(t.Context()))
		key, old, err := keys.NewKey(t.Context(), tenant)
		require.NoError(t, err)
		defer key.Destroy()
		_, stale := keys.Stale(old)
		require.False(t, stale, "it has the newest version")

		server.Write(t, "transit/keys/satchel/rotate", nil)
		another, fresh, err := keys.NewKey(t.Context(), tenant)
		require.NoError(t, err)
		another.Destroy()
		why, stale := keys.Stale(old)
		require.True(t, stale, "the keyring has seen a newer version")
		require.Equal(t, `wrapped under version "1" of "hashivault:transit/satchel"; the newest is "2"`, why)
		_, stale = keys.Stale(fresh)
		require.False(t, stale)

		rewrapped, err := keys.Rewrap(t.Context(), old, tenant)
		require.NoError(t, err, "an old version continues to unwrap")
		_, stale = keys.Stale(rewrapped)
		require.False(t, stale)

		server.Write(t, "transit/keys/satchel/config", map[string]any{"min_decryption_version": 2})
		cold, err := keyring.New(newKEK(t, server.Root(t), "satchel"), nil)
		require.NoError(t, err)
		opened, err := cold.OpenKey(t.Context(), rewrapped, tenant)
		require.NoError(t, err)
		require.Equal(t, key.ID(), opened.ID(), "it is the same data key")
		opened.Destroy()
		_, err = cold.OpenKey(t.Context(), old, tenant)
		kmstest.RequireClass(t, err, keyring.ErrKeyState)
		require.ErrorContains(t, err, "min_decryption_version")
	})

	t.Run("a version below min_decryption_version is not usable", func(t *testing.T) {
		server := start(t)
		kek := newKEK(t, server.Root(t), "satchel")
		w := kmstest.Wrap(t, kek)
		server.Write(t, "transit/keys/satchel/rotate", nil)
		server.Write(t, "transit/keys/satchel/config", map[string]any{"min_decryption_version": 2})
		requireRefused(t, kek, w, keyring.ErrKeyState)
		kmstest.RequireUnwraps(t, kek, kmstest.Wrap(t, kek))
		server.Write(t, "transit/keys/satchel/config", map[string]any{"min_decryption_version": 1})
		kmstest.RequireUnwraps(t, kek, w)
	})
}

func TestServer_Outage(t *testing.T) {
	t.Run("a sealed server is unavailable until it is unsealed", func(t *testing.T) {
		server := start(t)
		kek := newKEK(t, server.Root(t), "satchel")
		w := kmstest.Wrap(t, kek)
		server.Seal(t)
		requireRefused(t, kek, w, keyring.ErrUnavailable)
		requireNoWrap(t, kek, keyring.ErrUnavailable)
		server.Unseal(t)
		kmstest.RequireUnwraps(t, kek, w)
	})

	t.Run("a stopped server is unavailable", func(t *testing.T) {
		server := start(t)
		kek := newKEK(t, server.Root(t), "satchel")
		w := kmstest.Wrap(t, kek)
		server.Stop()
		requireRefused(t, kek, w, keyring.ErrUnavailable)
		requireNoWrap(t, kek, keyring.ErrUnavailable)
	})
}

func TestServer_MissingKey(t *testing.T) {
	t.Run("a missing key is not created", func(t *testing.T) {
		server := start(t)
		kek := newKEK(t, server.Root(t), "satchel")
		w := kmstest.Wrap(t, kek)
		server.Write(t, "transit/keys/satchel/config", map[string]any{"deletion_allowed": true})
		server.Delete(t, "transit/keys/satchel")
		requireRefused(t, kek, w, keyring.ErrNoKey)
		requireNoWrap(t, kek, keyring.ErrNoKey)
		requireNoWrap(t, newKEK(t, server.Root(t), "misspelled"), keyring.ErrNoKey)

		kept, err := server.Root(t).Logical().ListWithContext(t.Context(), "transit/keys")
		require.NoError(t, err)
		require.Nil(t, kept, "Vault would create a key for a root token")

		server.Write(t, "transit/keys/satchel", nil)
		requireRefused(t, kek, w, keyring.ErrTampered) // another key of the same name
	})

	t.Run("a mount without a transit engine has no key", func(t *testing.T) {
		server := start(t)
		server.Mount(t, "kv1", "kv", nil)
		server.Mount(t, "kv2", "kv", map[string]string{"version": "2"})
		for mount, class := range map[string]error{
			"nothing": keyring.ErrNoKey,
			"kv1":     keyring.ErrUnavailable, // an empty success, which a proxy might send as well
			"kv2":     keyring.ErrNoKey,
			"sys":     keyring.ErrNoKey,
		} {
			kek, err := hashivault.New(server.Root(t), mount, "satchel")
			require.NoError(t, err)
			requireNoWrap(t, kek, class)
			w := wrappedKey()
			w.KEK = kek.ID()
			requireRefused(t, kek, w, class)
		}

		stored, err := server.Root(t).Logical().ReadWithContext(t.Context(), "kv1/encrypt/satchel")
		require.NoError(t, err)
		require.NotNil(t, stored, "a key-value engine stores any request")
		require.NotEqual(t, base64.StdEncoding.EncodeToString(canaryKey), stored.Data["plaintext"], "the stored value is not a data key")
	})
}

func TestServer_ForeignCiphertext(t *testing.T) {
	server := start(t)
	server.Write(t, "transit/keys/other", nil)
	kek := newKEK(t, server.Root(t), "satchel")
	w := kmstest.Wrap(t, kek)

	foreign := kmstest.Wrap(t, newKEK(t, server.Root(t), "other"))
	foreign.KEK = kek.ID()
	requireRefused(t, kek, foreign, keyring.ErrTampered)

	encoded := strings.TrimPrefix(string(w.Blob), "vault:v1:")
	for name, blob := range map[string]string{
		"a missing version":    "vault:v9:" + encoded,
		"shorter than a nonce": "vault:v1:AAAA",
		"a nonce alone":        "vault:v1:" + encoded[:16],
		"random bytes":         "vault:v1:" + base64.StdEncoding.EncodeToString(slices.Repeat([]byte{7}, 60)),
	} {
		t.Run(name, func(t *testing.T) {
			requireRefused(t, kek, keyring.WrappedKey{KEK: kek.ID(), Blob: []byte(blob)}, keyring.ErrTampered)
		})
	}
	_, err := kek.Unwrap(t.Context(), w, keyring.Context{"purpose": "data-key", "tenant": "other"})
	kmstest.RequireClass(t, err, keyring.ErrTampered)
	kmstest.RequireUnwraps(t, kek, w)
}
