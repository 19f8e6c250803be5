package wycheproof

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/stretchr/testify/require"
)

// A witness keeps the data key that it wraps.
type witness struct {
	*local.KEK
	dek []byte
}

func (w *witness) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	w.dek = bytes.Clone(dek)
	return w.KEK.Wrap(ctx, dek, c)
}

func TestKeyring(t *testing.T) {
	t.Run("uses exactly the calls that the vectors test", func(t *testing.T) {
		plain, err := local.New("kek", bytes.Repeat([]byte{1}, local.KeySize))
		require.NoError(t, err)
		kek := &witness{KEK: plain}
		keys, err := keyring.New(kek, nil)
		require.NoError(t, err)
		keyContext := keyring.Context{"purpose": "data-key", "tenant": "acme"}
		key, record, err := keys.NewKey(t.Context(), keyContext)
		require.NoError(t, err)
		defer key.Destroy()

		groupContext, messageContext := keyring.Context{"scope": "acme/web"}, keyring.Context{"name": "API_KEY", "version": "7"}
		group, err := key.Group(groupContext)
		require.NoError(t, err)
		message, err := group.Seal(nil, []byte("a secret"), messageContext)
		require.NoError(t, err)
		digest := sha256.Sum256(encode(t, groupContext))
		okm, err := expand(kek.dek, "skm/v1 message key\x00"+string(digest[:]), 64)
		require.NoError(t, err)
		gcm, err := aead(okm[:32])
		require.NoError(t, err)
		require.Equal(t, okm[32:], message[22:54], "the commitment is the second half of the derived bytes")
		got, err := gcm.Open(nil, nil, message[54:], append(bytes.Clone(message[:54]), encode(t, messageContext)...))
		require.NoError(t, err, "a message is AES-256-GCM under the first half")
		require.Equal(t, "a secret", string(got))

		sum, err := key.MAC("label", []byte("some "), []byte("data"))
		require.NoError(t, err)
		macKey, err := expand(kek.dek, "label\x00", 32)
		require.NoError(t, err)
		require.Equal(t, mac(macKey, []byte("some data")), sum[:])

		recordKey, err := expand(kek.dek, "skr/v1 record mac\x00", 32)
		require.NoError(t, err)
		end := len(record) - 32
		require.Equal(t, mac(recordKey, record[:end], encode(t, keyContext)), []byte(record[end:]))
	})
}

func encode(t *testing.T, c keyring.Context) []byte {
	t.Helper()
	encoded, err := c.Encode()
	require.NoError(t, err)
	return encoded
}
