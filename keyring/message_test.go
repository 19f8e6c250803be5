package keyring_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

func TestGroup_Open(t *testing.T) {
	t.Run("opens a message of the group under the same context", func(t *testing.T) {
		group := newGroup(t, web)
		for _, plaintext := range []string{"", "x", "a secret", strings.Repeat("0123456789abcdef", 4096)} {
			message := seal(t, group, plaintext, apiKey7)
			require.Len(t, message, len(plaintext)+keyring.Overhead)
			got, err := group.Open(nil, message, apiKey7)
			require.NoError(t, err)
			require.Equal(t, plaintext, string(got))
		}
	})

	t.Run("names the data key of a message under another one", func(t *testing.T) {
		message := seal(t, newGroup(t, web), "a secret", apiKey7)
		stranger, err := keyring.NewGroup(bytes.Repeat([]byte{7}, 32), [16]byte{9}, web)
		require.NoError(t, err)
		got, err := stranger.Open(nil, message, apiKey7)
		require.ErrorIs(t, err, keyring.ErrNoKey)
		require.Nil(t, got)
		require.ErrorContains(t, err, "01020300", "the error names the data key of the message")
	})

	t.Run("rejects another key with the same ID", func(t *testing.T) {
		message := seal(t, newGroup(t, web), "a secret", apiKey7)
		stranger, err := keyring.NewGroup(bytes.Repeat([]byte{8}, 32), [16]byte{1, 2, 3}, web)
		require.NoError(t, err)
		got, err := stranger.Open(nil, message, apiKey7)
		require.ErrorIs(t, err, keyring.ErrTampered)
		require.Nil(t, got)
	})

	// Without a commitment, the sender of a message could choose two keys that both
	// open it.
	t.Run("rejects the right key with another commitment", func(t *testing.T) {
		key, id := bytes.Repeat([]byte{7}, 32), [16]byte{1, 2, 3}
		digest := sha256.Sum256(canonical(web))
		okm := expand(t, key, "skm/v1 message key\x00"+string(digest[:]), 64)
		block, err := aes.NewCipher(okm[:32])
		require.NoError(t, err)
		aead, err := cipher.NewGCMWithRandomNonce(block)
		require.NoError(t, err)

		forge := func(commitment []byte) []byte {
			head := slices.Concat([]byte("SKM\x01\x00\x01"), id[:], commitment)
			return aead.Seal(head, nil, []byte("a secret"), slices.Concat(head, canonical(apiKey7)))
		}
		got, err := newGroup(t, web).Open(nil, forge(okm[32:]), apiKey7)
		require.NoError(t, err, "the test makes messages according to the format")
		require.Equal(t, "a secret", string(got))
		got, err = newGroup(t, web).Open(nil, forge(make([]byte, 32)), apiKey7)
		require.ErrorIs(t, err, keyring.ErrTampered, "a valid ciphertext does not replace the commitment")
		require.Nil(t, got)
	})

	t.Run("reports all authentication failures with one text", func(t *testing.T) {
		group := newGroup(t, web)
		message := seal(t, group, "a secret", apiKey7)
		commitment, tag := bytes.Clone(message), bytes.Clone(message)
		commitment[30] ^= 1
		tag[len(tag)-1] ^= 1
		_, wrongCommitment := group.Open(nil, commitment, apiKey7)
		_, wrongTag := group.Open(nil, tag, apiKey7)
		_, wrongContext := group.Open(nil, message, nil)
		require.EqualError(t, wrongCommitment, "opening message: authentication failed")
		require.EqualError(t, wrongTag, wrongCommitment.Error())
		require.EqualError(t, wrongContext, wrongCommitment.Error())
	})
}

func TestGroup_Seal(t *testing.T) {
	t.Run("two messages of one plaintext differ", func(t *testing.T) {
		group := newGroup(t, web)
		require.NotEqual(t, seal(t, group, "same", apiKey7), seal(t, group, "same", apiKey7))
	})
}

func TestMaxPlaintext(t *testing.T) {
	t.Run("limits Seal and Open", func(t *testing.T) {
		group := newGroup(t, web)
		largest := make([]byte, keyring.MaxPlaintext)
		message, err := group.Seal(nil, largest, nil)
		require.NoError(t, err)
		got, err := group.Open(nil, message, nil)
		require.NoError(t, err)
		require.Len(t, got, keyring.MaxPlaintext)

		got, err = group.Seal(nil, append(largest, 0), nil)
		require.ErrorIs(t, err, keyring.ErrMalformed)
		require.Nil(t, got)
		got, err = group.Open(nil, append(message, 0), nil)
		require.ErrorIs(t, err, keyring.ErrMalformed, "a message that is too long is rejected")
		require.Nil(t, got)
	})
}

func TestGroup_Buffers(t *testing.T) {
	t.Run("Seal and Open append", func(t *testing.T) {
		group := newGroup(t, web)
		message, err := group.Seal([]byte("before"), []byte("secret"), apiKey7)
		require.NoError(t, err)
		require.Equal(t, "before", string(message[:6]))
		got, err := group.Open([]byte("before "), message[6:], apiKey7)
		require.NoError(t, err)
		require.Equal(t, "before secret", string(got))
	})

	t.Run("the plaintext may overlap the message", func(t *testing.T) {
		group := newGroup(t, web)
		for offset := range 100 {
			buffer := make([]byte, 300)
			plaintext := buffer[offset : offset+40]
			copy(plaintext, strings.Repeat("secret: ", 5))
			want := string(plaintext)
			message, err := group.Seal(buffer[:0], plaintext, apiKey7)
			require.NoError(t, err)
			got, err := group.Open(nil, message, apiKey7)
			require.NoError(t, err)
			require.Equal(t, want, string(got), "offset %d", offset)
		}
	})

	t.Run("the message may overlap the plaintext", func(t *testing.T) {
		group := newGroup(t, web)
		message := seal(t, group, strings.Repeat("secret: ", 20), apiKey7)
		for offset := range 200 {
			buffer := make([]byte, 600)
			copy(buffer[offset:], message)
			got, err := group.Open(buffer[:0], buffer[offset:offset+len(message)], apiKey7)
			require.NoError(t, err)
			require.Equal(t, strings.Repeat("secret: ", 20), string(got), "offset %d", offset)
		}
	})

	t.Run("a failed Open leaves no plaintext", func(t *testing.T) {
		group := newGroup(t, web)
		message := seal(t, group, "a secret", apiKey7)
		message[len(message)-1] ^= 1
		buffer := bytes.Repeat([]byte{0xee}, 100)
		got, err := group.Open(buffer[:4], message, apiKey7)
		require.ErrorIs(t, err, keyring.ErrTampered)
		require.Nil(t, got, "no result with an error")
		require.Equal(t, make([]byte, len("a secret")), buffer[4:4+len("a secret")], "no plaintext is left in the buffer")
		require.Equal(t, bytes.Repeat([]byte{0xee}, 4), buffer[:4], "the existing bytes are kept")
	})
}

func TestGroup_MessageContexts(t *testing.T) {
	// A group prepares the keys of its first message context.
	t.Run("do not depend on the group's first one", func(t *testing.T) {
		contexts := []keyring.Context{
			nil, apiKey7, {"name": "OTHER", "version": "8"}, {"name": "", "version": ""}, {"name": "API_KEY"},
			{"version": "7", "eman": "API_KEY"}, {"name": "API_KEY", "version": "7", "scope": ""}, pairs(9), wide(4096),
		}
		for _, first := range contexts {
			primed := newGroup(t, web)
			seal(t, primed, "first", first)
			for _, c := range contexts {
				for _, pair := range [][2]*keyring.Group{{primed, newGroup(t, web)}, {newGroup(t, web), primed}} {
					got, err := pair[1].Open(nil, seal(t, pair[0], "a secret", c), c)
					require.NoError(t, err, "%v after %v", c, first)
					require.Equal(t, "a secret", string(got))
				}
			}
		}
	})

	t.Run("have limits after the first one too", func(t *testing.T) {
		for name, test := range map[string]struct{ first, c keyring.Context }{
			"a long value":       {apiKey7, keyring.Context{"name": strings.Repeat("x", 1025), "version": "7"}},
			"a non-UTF-8 value":  {apiKey7, keyring.Context{"name": "a\xc3", "version": "7"}},
			"4,097 bytes in all": {wide(4096), wide(4097)},
		} {
			group := newGroup(t, web)
			message := seal(t, group, "a secret", test.first)
			got, err := group.Seal(nil, nil, test.c)
			require.ErrorIs(t, err, keyring.ErrMalformed, name)
			require.Nil(t, got, name)
			got, err = group.Open(nil, message, test.c)
			require.ErrorIs(t, err, keyring.ErrMalformed, name)
			require.Nil(t, got, name)
		}
	})
}

func TestNewGroup(t *testing.T) {
	t.Run("takes a key of 32 bytes and a valid context", func(t *testing.T) {
		_, err := keyring.NewGroup(make([]byte, 16), [16]byte{}, nil)
		require.ErrorIs(t, err, keyring.ErrMalformed)
		_, err = keyring.NewGroup(make([]byte, 32), [16]byte{}, keyring.Context{"": ""})
		require.ErrorIs(t, err, keyring.ErrMalformed)
		_, err = newGroup(t, web).Seal(nil, nil, keyring.Context{"": ""})
		require.ErrorIs(t, err, keyring.ErrMalformed)
		_, err = newGroup(t, web).Open(nil, seal(t, newGroup(t, web), "", nil), keyring.Context{"": ""})
		require.ErrorIs(t, err, keyring.ErrMalformed)
	})

	t.Run("keeps no reference to the key", func(t *testing.T) {
		key := bytes.Repeat([]byte{7}, 32)
		group, err := keyring.NewGroup(key, [16]byte{1, 2, 3}, web)
		require.NoError(t, err)
		clear(key)
		got, err := newGroup(t, web).Open(nil, seal(t, group, "a secret", nil), nil)
		require.NoError(t, err)
		require.Equal(t, "a secret", string(got))
	})
}
