package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
)

// The tamper matrix: every change gives an error of the expected class, no plaintext and
// no panic.

// changes yields b with each bit flipped, with each truncation, and with a byte added. at
// is the index of the byte with a flipped bit, or -1.
func changes(b []byte, yield func(changed []byte, at int, what string)) {
	for i := range b {
		for bit := range 8 {
			changed := bytes.Clone(b)
			changed[i] ^= 1 << bit
			yield(changed, i, fmt.Sprintf("bit %d of byte %d flipped", bit, i))
		}
	}
	for n := range len(b) {
		yield(bytes.Clone(b[:n]), -1, fmt.Sprintf("cut to %d bytes", n))
	}
	for _, extra := range []byte{0, 1, 0xff} {
		yield(append(bytes.Clone(b), extra), -1, fmt.Sprintf("byte %d appended", extra))
	}
}

func TestTamper_Message(t *testing.T) {
	t.Run("a changed message never opens", func(t *testing.T) {
		group := newGroup(t, web)
		message := seal(t, group, "a secret of 27 bytes length", apiKey7)
		changes(message, func(changed []byte, at int, what string) {
			got, err := group.Open(nil, changed, apiKey7)
			require.Nil(t, got, what)
			switch {
			case len(changed) < keyring.Overhead:
				require.ErrorIs(t, err, keyring.ErrMalformed, what)
			case at >= 0 && at < 6: // magic and suite
				require.ErrorIs(t, err, keyring.ErrMalformed, what)
			case at >= 6 && at < 22: // key id
				require.ErrorIs(t, err, keyring.ErrNoKey, what)
			default:
				require.ErrorIs(t, err, keyring.ErrTampered, what)
			}
		})
	})

	t.Run("no other message context opens it", func(t *testing.T) {
		group := newGroup(t, web)
		message := seal(t, group, "a secret", apiKey7)
		for what, c := range otherContexts(apiKey7) {
			got, err := group.Open(nil, message, c)
			require.ErrorIs(t, err, keyring.ErrTampered, what)
			require.Nil(t, got, what)
		}
	})

	t.Run("no other group context opens it", func(t *testing.T) {
		message := seal(t, newGroup(t, web), "a secret", apiKey7)
		for what, c := range otherContexts(web) {
			got, err := newGroup(t, c).Open(nil, message, apiKey7)
			require.ErrorIs(t, err, keyring.ErrTampered, what)
			require.Nil(t, got, what)
		}
	})

	t.Run("the group and message contexts cannot be swapped", func(t *testing.T) {
		message := seal(t, newGroup(t, web), "a secret", apiKey7)
		got, err := newGroup(t, apiKey7).Open(nil, message, web)
		require.ErrorIs(t, err, keyring.ErrTampered)
		require.Nil(t, got)
		both := edit(web, func(c keyring.Context) { c["name"], c["version"] = apiKey7["name"], apiKey7["version"] })
		got, err = newGroup(t, both).Open(nil, message, nil)
		require.ErrorIs(t, err, keyring.ErrTampered, "joined into one context, they do not open it either")
		require.Nil(t, got)
	})
}

// otherContexts returns variants of a context with two or more pairs.
func otherContexts(c keyring.Context) map[string]keyring.Context {
	others := map[string]keyring.Context{
		"empty": {},
		"nil":   nil,
		"added": edit(c, func(c keyring.Context) { c["added"] = "" }),
	}
	for key, value := range c {
		others["value of "+key+" changed"] = edit(c, func(c keyring.Context) { c[key] = value + "x" })
		others["value of "+key+" emptied"] = edit(c, func(c keyring.Context) { c[key] = "" })
		others[key+" renamed"] = edit(c, func(c keyring.Context) { delete(c, key); c[key+"x"] = value })
		others[key+" dropped"] = edit(c, func(c keyring.Context) { delete(c, key) })
		others[key+" and its value swapped"] = edit(c, func(c keyring.Context) { delete(c, key); c[value] = key })
	}
	return others
}

// edit returns a modified copy of a context.
func edit(c keyring.Context, change func(keyring.Context)) keyring.Context {
	changed := keyring.Context{}
	maps.Copy(changed, c)
	change(changed)
	return changed
}

func TestTamper_Record(t *testing.T) {
	t.Run("a changed record never opens", func(t *testing.T) {
		kek := newLocal(t, "kek", 1)
		keys := newKeyring(t, kek, nil)
		rec := newRecord(t, keys, acme)
		const (
			service  = 31 + 2 // after the fixed part and a length
			key      = service + 5 + 2
			version  = key + 3 + 2
			blob     = version + 32 + 2
			blobSize = 32 + keyring.Overhead
		)
		end := blob + blobSize
		require.Len(t, rec, end+32, "the offsets of the test are right")

		changes(rec, func(changed []byte, at int, what string) {
			handle, err := keys.OpenKey(t.Context(), changed, acme)
			require.Nil(t, handle, what)
			want := keyring.ErrTampered
			switch {
			case at < 0: // cut or lengthened
				want = keyring.ErrMalformed
			case at < 6, at == 30: // magic, suite, number of wraps
				want = keyring.ErrMalformed
			case at < 30: // id, created
			case at < service, at >= service+5 && at < key, at >= key+3 && at < version, at >= version+32 && at < blob:
				want = keyring.ErrMalformed // lengths
			case at < version: // the KEK's name
				want = keyring.ErrNoKey
			case at < blob: // the version, which only the MAC covers
			case at < blob+6: // the header of the message of the local KEK
				want = keyring.ErrMalformed
			case at < blob+22: // the KEK ID in that message
				want = keyring.ErrNoKey
			}
			require.ErrorIs(t, err, want, what)
		})
	})

	t.Run("no other context opens it", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		rec := newRecord(t, keys, acme)
		for what, c := range otherContexts(acme) {
			handle, err := keys.OpenKey(t.Context(), rec, c)
			require.ErrorIs(t, err, keyring.ErrTampered, what)
			require.Nil(t, handle, what)
		}
		require.NoError(t, open(t, keys, rec, acme))
		for what, c := range otherContexts(acme) {
			require.ErrorIs(t, open(t, keys, rec, c), keyring.ErrTampered, "a cached key does not open under another context: "+what)
		}
	})

	t.Run("the MAC covers the context", func(t *testing.T) {
		keys := newKeyring(t, careless{keyringtest.NewFake("a")}, nil)
		rec := newRecord(t, keys, acme)
		require.NoError(t, open(t, keys, rec, acme))
		require.ErrorIs(t, open(t, keys, rec, other), keyring.ErrTampered)
	})

	t.Run("no wrap can be edited, dropped or moved", func(t *testing.T) {
		a, b := newLocal(t, "a", 1), newLocal(t, "b", 2)
		two := newRecord(t, newKeyring(t, a, &keyring.Options{Replicas: []keyring.KEK{b}}), acme)
		one := newRecord(t, newKeyring(t, a, nil), acme)
		keys := newKeyring(t, a, nil)
		require.NoError(t, open(t, keys, two, acme))

		// Both wraps have the same length, because their IDs do.
		size := len(one) - 31 - 32
		require.Len(t, two, 31+2*size+32)
		first, second, mac := two[31:31+size], two[31+size:31+2*size], two[31+2*size:]
		join := func(count byte, parts ...[]byte) keyring.Record {
			rec := append(bytes.Clone(two[:30]), count)
			return append(rec, bytes.Join(parts, nil)...)
		}
		require.ErrorIs(t, open(t, keys, join(1, first, mac), acme), keyring.ErrTampered, "second wrap dropped")
		require.ErrorIs(t, open(t, keys, join(2, second, first, mac), acme), keyring.ErrTampered, "wraps swapped")
		require.ErrorIs(t, open(t, keys, join(3, first, second, second, mac), acme), keyring.ErrTampered, "wrap repeated")
		foreign := one[31 : 31+size]
		require.ErrorIs(t, open(t, keys, join(2, foreign, second, mac), acme), keyring.ErrTampered, "wrap of another key inserted")
	})

	t.Run("another tenant's record is rejected", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		mine, theirs := newRecord(t, keys, acme), newRecord(t, keys, other)
		require.NoError(t, open(t, keys, mine, acme))
		require.NoError(t, open(t, keys, theirs, other))
		require.ErrorIs(t, open(t, keys, theirs, acme), keyring.ErrTampered)
		require.ErrorIs(t, open(t, keys, mine, other), keyring.ErrTampered)
	})
}

// A careless KEK ignores the context.
type careless struct{ *keyringtest.Fake }

func (k careless) Wrap(ctx context.Context, dek []byte, _ keyring.Context) (keyring.WrappedKey, error) {
	return k.Fake.Wrap(ctx, dek, nil)
}

func (k careless) Unwrap(ctx context.Context, w keyring.WrappedKey, _ keyring.Context) ([]byte, error) {
	return k.Fake.Unwrap(ctx, w, nil)
}

func TestTamper_Envelope(t *testing.T) {
	t.Run("a changed envelope never opens", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		envelope, err := keys.SealEnvelope(t.Context(), []byte("a secret"), acme)
		require.NoError(t, err)
		messageAt := len(envelope) - keyring.Overhead - len("a secret")
		changes(envelope, func(changed []byte, at int, what string) {
			got, err := keys.OpenEnvelope(t.Context(), changed, acme)
			require.Nil(t, got, what)
			switch {
			case at >= 0 && at < 4: // the record's length
				require.ErrorIs(t, err, keyring.ErrMalformed, what)
			case at >= messageAt+6, at >= 10 && at < 26, at < 0 && len(changed) > len(envelope):
				require.ErrorIs(t, err, keyring.ErrTampered, what)
			default:
				requireRejected(t, err, what)
			}
		})
		for what, c := range otherContexts(acme) {
			got, err := keys.OpenEnvelope(t.Context(), envelope, c)
			require.ErrorIs(t, err, keyring.ErrTampered, what)
			require.Nil(t, got, what)
		}
	})

	t.Run("another envelope's message is rejected", func(t *testing.T) {
		kek := keyringtest.NewFake("a")
		keys := newKeyring(t, kek, nil)
		first, err := keys.SealEnvelope(t.Context(), []byte("one"), acme)
		require.NoError(t, err)
		second, err := keys.SealEnvelope(t.Context(), []byte("two"), acme)
		require.NoError(t, err)
		size := keyring.Overhead + 3
		mixed := append(bytes.Clone(first[:len(first)-size]), second[len(second)-size:]...)
		got, err := keys.OpenEnvelope(t.Context(), mixed, acme)
		require.ErrorIs(t, err, keyring.ErrTampered)
		require.Nil(t, got)
		require.Zero(t, kek.Unwraps(), "no call to the key service")
	})
}

// requireRejected asserts that an error has one of the three classes for invalid bytes.
func requireRejected(t *testing.T, err error, what string) {
	t.Helper()
	bad := errors.Is(err, keyring.ErrMalformed) || errors.Is(err, keyring.ErrTampered) || errors.Is(err, keyring.ErrNoKey)
	require.True(t, bad, "%s: %v", what, err)
}
