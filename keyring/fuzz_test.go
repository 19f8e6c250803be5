package keyring_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

// FuzzGroup_Open checks that only sealed messages open, and that Open does not panic.
func FuzzGroup_Open(f *testing.F) {
	for _, test := range known[knownMessage](f, "message.json", "SKM v1") {
		f.Add([]byte(test.Message), "name", "value")
	}
	group := newGroup(f, web)
	f.Add(seal(f, group, "a secret", keyring.Context{"name": "value"}), "name", "value")
	f.Add([]byte("SKM\x01\x00\x01"), "", "")
	f.Fuzz(func(t *testing.T, message []byte, key, value string) {
		got, err := group.Open(nil, message, keyring.Context{key: value})
		if err == nil {
			require.Equal(t, "a secret", string(got), "only a sealed plaintext opens")
			return
		}
		require.Nil(t, got)
		requireRejected(t, err, "")
	})
}

// FuzzGroup_Seal checks that a sealed message opens, for all overlaps of the buffers.
func FuzzGroup_Seal(f *testing.F) {
	f.Add([]byte("a secret"), "name", "value", uint8(3))
	f.Add([]byte{}, "k", "", uint8(0))
	group := newGroup(f, web)
	f.Fuzz(func(t *testing.T, plaintext []byte, key, value string, offset uint8) {
		want := bytes.Clone(plaintext)
		c := keyring.Context{key: value}
		buffer := make([]byte, int(offset)+len(plaintext)+2*keyring.Overhead)
		inside := buffer[offset : int(offset)+len(plaintext)]
		copy(inside, plaintext)
		message, err := group.Seal(buffer[:0], inside, c)
		if err != nil {
			require.ErrorIs(t, err, keyring.ErrMalformed)
			return
		}
		got, err := group.Open(message[:0:len(message)], message, c)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
	})
}

// FuzzRecord checks that an accepted record encodes to the same bytes.
func FuzzRecord(f *testing.F) {
	for _, test := range known[knownRecord](f, "record.json", "SKR v1") {
		f.Add([]byte(test.Record))
	}
	f.Add([]byte(rawRecord(1, 0, part("s")+part("k")+part("")+part("b"))))
	f.Add([]byte(rawRecord(2, 1<<63, part("s")+part("k")+part("v")+part("b")+part("s")+part("k")+part("v")+part("b"))))
	keys := newKeyring(f, newLocal(f, "primary", 9), nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := keyring.Reencode(b)
		if err != nil {
			require.ErrorIs(t, err, keyring.ErrMalformed)
			require.Nil(t, again)
		} else {
			require.Equal(t, b, []byte(again))
		}
		key, err := keys.OpenKey(t.Context(), b, nil)
		require.Nil(t, key)
		requireRejected(t, err, "no record was sealed with this key")
		why, stale := keys.Stale(b)
		require.Equal(t, why != "", stale)
	})
}

// FuzzContext checks that two contexts have the same encoding only if they are equal.
func FuzzContext(f *testing.F) {
	f.Add("a", "1", "b", "2", "a", "1", "b", "2")
	f.Add("a", "bc", "", "", "ab", "c", "", "")
	f.Add("a", "1", "b", "2", "b", "2", "a", "1")
	f.Add("a\x00", "\x01", "b", "", "a", "\x00\x01", "b", "")
	f.Add("é", "é", "b", "\xff", "e\u0301", "", "", "x")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, l1, w1, l2, w2 string) {
		a, b := keyring.Context{k1: v1, k2: v2}, keyring.Context{l1: w1, l2: w2}
		first, err := a.Encode()
		if err != nil {
			require.ErrorIs(t, err, keyring.ErrMalformed)
			return
		}
		require.Equal(t, canonical(a), first)
		second, err := b.Encode()
		if err != nil {
			require.ErrorIs(t, err, keyring.ErrMalformed)
			return
		}
		require.Equal(t, maps.Equal(a, b), bytes.Equal(first, second))
		prepared, ok := keyring.EncodeAs(a, b)
		if ok {
			require.Equal(t, second, prepared, "prepared keys give the same encoding")
		}
		require.Equal(t, slices.Equal(keysOf(a), keysOf(b)), ok)
	})
}

func keysOf(c keyring.Context) []string { return slices.Sorted(maps.Keys(c)) }

// FuzzOpenEnvelope checks that only sealed envelopes open, and that OpenEnvelope does not
// panic.
func FuzzOpenEnvelope(f *testing.F) {
	for _, test := range known[knownEnvelope](f, "envelope.json", "envelope") {
		f.Add([]byte(test.Envelope))
	}
	keys := newKeyring(f, newLocal(f, "kek", 9), nil)
	sealed, err := keys.SealEnvelope(f.Context(), []byte("a secret"), nil)
	require.NoError(f, err)
	f.Add(sealed)
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, envelope []byte) {
		got, err := keys.OpenEnvelope(t.Context(), envelope, nil)
		if err == nil {
			require.Equal(t, "a secret", string(got), "only a sealed plaintext opens")
			return
		}
		require.Nil(t, got)
		requireRejected(t, err, "")
	})
}
