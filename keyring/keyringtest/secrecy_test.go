package keyringtest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

func raw(dek []byte) string { return string(dek) }

func printed(dek []byte) string { return fmt.Sprint(dek) }

// afterOthers encodes a key after other bytes, so that the result does not contain the
// base64 of the key.
func afterOthers(dek []byte) string {
	return "v1" + base64.StdEncoding.EncodeToString(append([]byte("header."), dek...))
}

func encodedTwice(dek []byte) string {
	return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(dek)))
}

func showsEncoded(encode func([]byte) string) func(id string) keyring.KEK {
	return func(id string) keyring.KEK {
		b := newBroken(id)
		b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
			w, err := b.Fake.Wrap(ctx, dek, c)
			w.Blob = append(w.Blob, encode(dek)...)
			return w, err
		}
		return b
	}
}

func hasKeyAsVersion(id string) keyring.KEK {
	b := newBroken(id)
	b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
		w, err := b.Fake.Wrap(ctx, dek, c)
		w.Version = hex.EncodeToString(dek)
		return w, err
	}
	return b
}

// likeVault encodes a blob like the transit engine of HashiCorp Vault.
func likeVault(blob []byte) []byte {
	return []byte("vault:v1:" + base64.StdEncoding.EncodeToString(blob))
}

// oneNonce returns broken KEKs that mask each key with the same bytes, like GCM with a
// repeated nonce. The tag differs each time, as in GCM.
func oneNonce(encode func([]byte) []byte) func(id string) keyring.KEK {
	return func(id string) keyring.KEK {
		pad := newDEK()
		b := newBroken(id)
		b.wrap = func(_ context.Context, dek []byte, _ keyring.Context) (keyring.WrappedKey, error) {
			nonce, tag := make([]byte, 12), newDEK()[:16]
			blob := slices.Concat(nonce, difference(dek, pad), tag)
			return keyring.WrappedKey{KEK: b.ID(), Blob: encode(blob)}, nil
		}
		return b
	}
}

// quotesWrapped returns broken KEKs whose errors of Wrap quote the key.
func quotesWrapped(encode func([]byte) string) func(id string) keyring.KEK {
	return func(id string) keyring.KEK {
		b := newBroken(id)
		b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
			w, err := b.Fake.Wrap(ctx, dek, c)
			if err != nil {
				err = fmt.Errorf("wrapping %s: %w", encode(dek), err)
			}
			return w, err
		}
		return b
	}
}

// quotesWhen returns broken KEKs whose errors of one class quote the key that Unwrap
// refuses, as is possible for a KEK that checks the context after decrypting.
func quotesWhen(class error) func(id string) keyring.KEK {
	return func(id string) keyring.KEK {
		var wrapped []byte // the latest
		b := newBroken(id)
		b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
			wrapped = bytes.Clone(dek)
			return b.Fake.Wrap(ctx, dek, c)
		}
		b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
			dek, err := b.Fake.Unwrap(ctx, w, c)
			if errors.Is(err, class) {
				err = fmt.Errorf("%w: it is %x", err, wrapped)
			}
			return dek, err
		}
		return b
	}
}

func TestSecrecy_Encodings(t *testing.T) {
	t.Run("a key is found in every encoding", func(t *testing.T) {
		dek := newDEK()
		for name, out := range map[string]string{
			"raw":                         raw(dek),
			"one half":                    string(dek[16:]),
			"the other half":              string(dek[:16]),
			"hexadecimal":                 hex.EncodeToString(dek),
			"capital hexadecimal":         fmt.Sprintf("%X", dek),
			"hexadecimal after one digit": "a" + hex.EncodeToString(dek),
			"spaced hexadecimal":          fmt.Sprintf("% x", dek),
			"base64":                      base64.StdEncoding.EncodeToString(dek),
			"base64 for URLs":             base64.RawURLEncoding.EncodeToString(dek),
			"base64 after a letter":       "k" + base64.StdEncoding.EncodeToString(dek),
			"base64 after bytes":          afterOthers(dek),
			"base64 of hexadecimal":       encodedTwice(dek),
			"hexadecimal of base64":       hex.EncodeToString([]byte(base64.StdEncoding.EncodeToString(dek))),
			"printed":                     printed(dek),
			"printed as Go":               fmt.Sprintf("%#v", dek),
			"quoted":                      fmt.Sprintf("%q", dek),
		} {
			require.True(t, shows([]byte("key: "+out+"!"), dek), name)
		}
		other := newDEK()
		for name, out := range map[string]string{
			"nothing":                  "",
			"another key":              string(other),
			"another key, hexadecimal": hex.EncodeToString(other),
			"another key, base64":      base64.StdEncoding.EncodeToString(other),
			"a few bytes of the key":   string(dek[:8]),
		} {
			require.False(t, shows([]byte("key: "+out+"!"), dek), name)
		}
	})
}

func TestSecrecy_NoNonce(t *testing.T) {
	t.Run("wrapping without a nonce is allowed", func(t *testing.T) {
		err := checkUnrelated(t.Context(), func(id string) keyring.KEK {
			pad, key := newDEK(), newDEK()
			b := newBroken(id)
			b.wrap = func(_ context.Context, dek []byte, _ keyring.Context) (keyring.WrappedKey, error) {
				mac := hmac.New(sha256.New, key)
				mac.Write(dek)
				synthetic := mac.Sum(nil)
				return keyring.WrappedKey{KEK: b.ID(), Blob: append(synthetic, difference(difference(dek, pad), synthetic)...)}, nil
			}
			return b
		})
		require.NoError(t, err, "a blob that depends on the entire key reveals nothing about another")
	})
}
