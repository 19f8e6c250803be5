package keyring_test

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

// Each benchmark compares Group.Open with plain AES-256-GCM and reused buffers: with the
// cipher built once, which is the limit; the same with the associated data of a vault's
// message; and with the cipher built for each message. Module internal/peers compares
// other libraries.

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
	raw := func(aad []byte, newAEAD func() cipher.AEAD) func(*testing.B) {
		return func(b *testing.B) {
			sealed := newAEAD().Seal(nil, nil, plaintext, aad)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := newAEAD().Open(buffer, nil, sealed, aad); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	aead := rawAEAD(b)
	once := func() cipher.AEAD { return aead }
	aad := append(make([]byte, 54), canonical(apiKey7)...)
	b.Run("raw", raw(nil, once))
	b.Run("raw with associated data", raw(aad, once))
	b.Run("raw with key schedule", raw(nil, func() cipher.AEAD { return rawAEAD(b) }))
}

func BenchmarkGroup_Open64B(b *testing.B) { benchmarkOpen(b, 64) }

func BenchmarkGroup_Open64KiB(b *testing.B) { benchmarkOpen(b, 64*1024) }

// BenchmarkKeyring_OpenBundle opens a cached data key, a group and 50 messages of 256
// bytes, like a bootstrap.
func BenchmarkKeyring_OpenBundle(b *testing.B) {
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
			contexts[i] = secretContext(i)
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
	raw := func(aads [][]byte, newAEAD func() cipher.AEAD) func(*testing.B) {
		return func(b *testing.B) {
			sealed := make([][]byte, count)
			for i := range sealed {
				sealed[i] = newAEAD().Seal(nil, nil, make([]byte, size), aads[i])
			}
			b.ReportAllocs()
			for b.Loop() {
				for i := range sealed {
					if _, err := newAEAD().Open(buffer, nil, sealed[i], aads[i]); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
	}
	aead := rawAEAD(b)
	once := func() cipher.AEAD { return aead }
	aads, none := make([][]byte, count), make([][]byte, count)
	for i := range aads {
		aads[i] = append(make([]byte, 54), canonical(secretContext(i))...)
	}
	b.Run("raw", raw(none, once))
	b.Run("raw with associated data", raw(aads, once))
	b.Run("raw with key schedule", raw(none, func() cipher.AEAD { return rawAEAD(b) }))
}

// secretContext returns the context of secret i.
func secretContext(i int) keyring.Context {
	return keyring.Context{"name": fmt.Sprintf("SECRET_%02d", i), "version": "7"}
}
