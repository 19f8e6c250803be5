package keyring_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/keyring/local"
)

// The contexts of a vault for one tenant and one of its scopes.
var (
	acme    = keyring.Context{"purpose": "data-key", "tenant": "acme"}
	other   = keyring.Context{"purpose": "data-key", "tenant": "other"}
	web     = keyring.Context{"purpose": "secrets", "tenant": "acme", "scope": "acme/web"}
	apiKey7 = keyring.Context{"name": "API_KEY", "version": "7"}
)

func newKeyring(t testing.TB, primary keyring.KEK, opts *keyring.Options) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.New(primary, opts)
	require.NoError(t, err)
	return keys
}

// newLocal returns a KEK with a key of 32 bytes b.
func newLocal(t testing.TB, id string, b byte) *local.KEK {
	t.Helper()
	kek, err := local.New(id, bytes.Repeat([]byte{b}, 32))
	require.NoError(t, err)
	return kek
}

// newRecord makes a data key for a context and returns only its record.
func newRecord(t testing.TB, keys *keyring.Keyring, c keyring.Context) keyring.Record {
	t.Helper()
	key, rec, err := keys.NewKey(t.Context(), c)
	require.NoError(t, err)
	key.Destroy()
	return rec
}

// open opens a record and releases the key.
func open(t testing.TB, keys *keyring.Keyring, rec keyring.Record, c keyring.Context) error {
	key, err := keys.OpenKey(t.Context(), rec, c)
	if err == nil {
		key.Destroy()
	}
	return err
}

// newFake returns a KEK that counts its calls, and a keyring with that KEK only.
func newFake(t testing.TB, id string) (*keyringtest.Fake, *keyring.Keyring) {
	kek := keyringtest.NewFake(id)
	return kek, newKeyring(t, kek, nil)
}

// newGroup returns a group under a fixed key.
func newGroup(t testing.TB, c keyring.Context) *keyring.Group {
	t.Helper()
	group, err := keyring.NewGroup(bytes.Repeat([]byte{7}, 32), [16]byte{1, 2, 3}, c)
	require.NoError(t, err)
	return group
}

func seal(t testing.TB, group *keyring.Group, plaintext string, c keyring.Context) []byte {
	t.Helper()
	message, err := group.Seal(nil, []byte(plaintext), c)
	require.NoError(t, err)
	return message
}
