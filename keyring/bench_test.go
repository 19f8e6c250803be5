package keyring_test

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"testing"

	"github.com/satchelhq/satchel/keyring"
	"github.com/stretchr/testify/require"
)

// Each benchmark measures Group.Open beside plain AES-256-GCM with buffers
// reused: with the cipher built once, which is the limit, and built for each
// message. Associated data is what a message of a vault has.

func rawAEAD(b *testing.B) cipher.AEAD {
	block, err := aes.NewCipher(make([]byte, 32))
	require.NoError(b, err)
	aead, err := cipher.NewGCMWithRandomNonce(block)
	require.NoError(b, err)
	return aead
}

func benchmarkOpen(b *testing.B, size int) {
	plaintext := make([]byte, size)
	buffer := make([]byte, 0, size)
	b.Run("satchel", func(b *testing.B) {
		group := newGroup(b, web)
		message, err := group.Seal(nil, plaintext, apiKey7)
		require.NoError(b, err)
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := group.Open(buffer, message, apiKey7); err != nil {
				b.Fatal(err)
			}
		}
	})
	aad := append(make([]byte, 54), canonical(apiKey7)...)
	b.Run("raw", func(b *testing.B) {
		aead := rawAEAD(b)
		sealed := aead.Seal(nil, nil, plaintext, aad)
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := aead.Open(buffer, nil, sealed, aad); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw with key schedule", func(b *testing.B) {
		sealed := rawAEAD(b).Seal(nil, nil, plaintext, aad)
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := rawAEAD(b).Open(buffer, nil, sealed, aad); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen64B(b *testing.B) { benchmarkOpen(b, 64) }

func BenchmarkOpen64KiB(b *testing.B) { benchmarkOpen(b, 64*1024) }

// BenchmarkBundle opens 50 messages of 256 bytes, as a bootstrap does when the
// data key is cached: the key, the group and the messages.
func BenchmarkBundle(b *testing.B) {
	const count, size = 50, 256
	buffer := make([]byte, 0, size)
	b.Run("satchel", func(b *testing.B) {
		keys := newKeyring(b, newLocal(b, "kek", 1), nil)
		key, rec, err := keys.NewKey(b.Context(), acme)
		require.NoError(b, err)
		group, err := key.Group(web)
		require.NoError(b, err)
		messages := make([][]byte, count)
		contexts := make([]keyring.Context, count)
		for i := range messages {
			contexts[i] = keyring.Context{"name": fmt.Sprintf("SECRET_%02d", i), "version": "7"}
			messages[i], err = group.Seal(nil, make([]byte, size), contexts[i])
			require.NoError(b, err)
		}
		b.ReportAllocs()
		for b.Loop() {
			key, err := keys.OpenKey(b.Context(), rec, acme)
			if err != nil {
				b.Fatal(err)
			}
			group, err := key.Group(web)
			if err != nil {
				b.Fatal(err)
			}
			for i, message := range messages {
				if _, err := group.Open(buffer, message, contexts[i]); err != nil {
					b.Fatal(err)
				}
			}
			key.Destroy()
		}
	})
	raw := func(b *testing.B, aead func() cipher.AEAD) {
		aads := make([][]byte, count)
		sealed := make([][]byte, count)
		for i := range sealed {
			c := keyring.Context{"name": fmt.Sprintf("SECRET_%02d", i), "version": "7"}
			aads[i] = append(make([]byte, 54), canonical(c)...)
			sealed[i] = rawAEAD(b).Seal(nil, nil, make([]byte, size), aads[i])
		}
		b.ReportAllocs()
		for b.Loop() {
			for i := range sealed {
				if _, err := aead().Open(buffer, nil, sealed[i], aads[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("raw", func(b *testing.B) {
		aead := rawAEAD(b)
		raw(b, func() cipher.AEAD { return aead })
	})
	b.Run("raw with key schedule", func(b *testing.B) {
		raw(b, func() cipher.AEAD { return rawAEAD(b) })
	})
}
