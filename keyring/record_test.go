package keyring_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

// part is one length-prefixed field of a record.
func part(s string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s
}

// rawRecord encodes a record with a MAC of zeros.
func rawRecord(count byte, created uint64, wraps string) keyring.Record {
	rec := "SKR\x01\x00\x01" + strings.Repeat("i", 16)
	rec += string(binary.BigEndian.AppendUint64(nil, created)) + string(count)
	return keyring.Record(rec + wraps + strings.Repeat("\x00", 32))
}

func TestRecord_Malformed(t *testing.T) {
	wrap := part("local") + part("key") + part("") + part("blob")
	require.NoError(t, recordError(rawRecord(1, 0, wrap)), "one wrap is valid")
	for name, rec := range map[string]keyring.Record{
		"nothing":                      nil,
		"too short":                    make(keyring.Record, 62),
		"a message":                    seal(t, newGroup(t, web), strings.Repeat("x", 100), nil),
		"no wraps":                     rawRecord(0, 0, ""),
		"fewer wraps than its count":   rawRecord(2, 0, wrap),
		"more wraps than its count":    rawRecord(1, 0, wrap+wrap),
		"nine wraps":                   rawRecord(9, 0, strings.Repeat(wrap, 9)),
		"an empty service":             rawRecord(1, 0, part("")+part("key")+part("")+part("blob")),
		"an empty key":                 rawRecord(1, 0, part("local")+part("")+part("")+part("blob")),
		"an empty blob":                rawRecord(1, 0, part("local")+part("key")+part("")+part("")),
		"a service of 65 bytes":        rawRecord(1, 0, part(strings.Repeat("s", 65))+part("key")+part("")+part("blob")),
		"a key of 1,025 bytes":         rawRecord(1, 0, part("local")+part(strings.Repeat("k", 1025))+part("")+part("blob")),
		"a version of 1,025 bytes":     rawRecord(1, 0, part("local")+part("key")+part(strings.Repeat("v", 1025))+part("blob")),
		"a blob of 4,097 bytes":        rawRecord(1, 0, part("local")+part("key")+part("")+part(strings.Repeat("b", 4097))),
		"a length past the end":        rawRecord(1, 0, part("local")+part("key")+part("")+"\x0f\xff"),
		"a byte between wraps and MAC": rawRecord(1, 0, wrap+"\x00"),
		"longer than any record":       append(rawRecord(1, 0, wrap), make(keyring.Record, 64*1024)...),
	} {
		require.ErrorIs(t, recordError(rec), keyring.ErrMalformed, name)
		_, err := rec.Created()
		require.ErrorIs(t, err, keyring.ErrMalformed, name)
		_, err = rec.KEKs()
		require.ErrorIs(t, err, keyring.ErrMalformed, name)
		err = open(t, newKeyring(t, newLocal(t, "kek", 1), nil), rec, acme)
		require.ErrorIs(t, err, keyring.ErrMalformed, name)
	}
}

func recordError(rec keyring.Record) error {
	_, err := rec.ID()
	return err
}

func TestRecord_KEKs(t *testing.T) {
	t.Run("reads a record at its limits", func(t *testing.T) {
		wrap := part(strings.Repeat("s", 64)) + part(strings.Repeat("k", 1024)) +
			part(strings.Repeat("v", 1024)) + part(strings.Repeat("b", 4096))
		keks, err := rawRecord(8, 0, strings.Repeat(wrap, 8)).KEKs()
		require.NoError(t, err)
		require.Len(t, keks, 8)
	})
}

func TestRecord_Created(t *testing.T) {
	t.Run("rejects a time out of range", func(t *testing.T) {
		wrap := part("local") + part("key") + part("") + part("blob")
		created, err := rawRecord(1, 1767225600, wrap).Created()
		require.NoError(t, err)
		require.Equal(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), created)
		_, err = rawRecord(1, 1<<63, wrap).Created()
		require.ErrorIs(t, err, keyring.ErrMalformed)
	})
}

func TestRecord_Secrecy(t *testing.T) {
	t.Run("no plaintext key", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		key, rec, err := keys.NewKey(t.Context(), acme)
		require.NoError(t, err)
		defer key.Destroy()
		require.NotContains(t, string(rec), string(keyring.KeyBytes(key)[:16]))
	})
}
