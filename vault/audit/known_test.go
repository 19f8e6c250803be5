package audit_test

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// knownFile holds a chain that was trimmed, and the key of its MACs. It is written once
// for each version of the format, and must stay readable forever.
const knownFile = "testdata/chain-v1.json"

var update = flag.Bool("update", false, "rewrite "+knownFile+"; only for a new version of the format")

// Byte strings are in hexadecimal.
type knownChain struct {
	About   string       `json:"about"`
	KEKID   string       `json:"kek_id"`
	KEK     string       `json:"kek"`
	Record  string       `json:"record"`
	DEK     string       `json:"dek"`
	MACKey  string       `json:"mac_key"`
	KeyID   string       `json:"key_id"`
	Tenant  string       `json:"tenant"`
	Entries []knownEntry `json:"entries"`
}

type knownEntry struct {
	Seq   int64  `json:"seq"`
	Entry string `json:"entry"`
	Input string `json:"mac_input"`
	MAC   string `json:"mac"`
}

// knownEntries are the entries of the file. The last one records that the first two
// were dropped; its head is set when the MAC of the second one is known.
func knownEntries() []audit.Entry {
	at := time.Date(2026, 3, 1, 12, 0, 0, 1000, time.UTC)
	return []audit.Entry{
		{Time: at, Action: audit.Put, Actor: "ada", Scope: "acme/web", Name: "A", Version: 1},
		{Time: at.Add(time.Second), Action: audit.Issue, Actor: "ada", Scope: "acme/web", Token: "0aB3dE6gH9jK"},
		{
			Time: at.Add(time.Hour), Action: audit.Deliver, Scope: "acme/web", Token: "0aB3dE6gH9jK", Runner: "ci-7", Addr: "192.0.2.1",
			Delivered: []string{"acme/web/A@1"},
		},
		{Time: at.Add(2 * time.Hour), Action: audit.Trim, Actor: "satchel", Through: 2},
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// knownKey opens the data key of the file, which the caller destroys.
func (k *knownChain) knownKey(t *testing.T) *keyring.DataKey {
	t.Helper()
	kek, err := local.New(k.KEKID, unhex(t, k.KEK))
	require.NoError(t, err)
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	key, err := keys.OpenKey(t.Context(), keyring.Record(unhex(t, k.Record)), keyring.Context{"purpose": "data-key", "tenant": k.Tenant})
	require.NoError(t, err)
	return key
}

// macInput is the input of the MAC of an entry, from docs/format.md.
func macInput(previous []byte, tenant string, e knownEntry) []byte {
	n := binary.BigEndian.AppendUint64(nil, uint64(e.Seq))
	length := binary.BigEndian.AppendUint16(nil, uint16(len(tenant)))
	return slices.Concat(previous, n, length, []byte(tenant), []byte(e.Entry))
}

// TestKnown_Answers recomputes each MAC with packages hkdf, hmac and sha256.
func TestKnown_Answers(t *testing.T) {
	if *update {
		writeKnown(t)
	}
	k := readKnown(t)
	macKey, err := hkdf.Expand(sha256.New, unhex(t, k.DEK), "ska/v1 audit\x00", 32)
	require.NoError(t, err)
	require.Equal(t, k.MACKey, hex.EncodeToString(macKey))
	previous := make([]byte, 32)
	for _, e := range k.Entries {
		input := macInput(previous, k.Tenant, e)
		require.Equal(t, e.Input, hex.EncodeToString(input))
		h := hmac.New(sha256.New, macKey)
		h.Write(input)
		previous = h.Sum(nil)
		require.Equal(t, e.MAC, hex.EncodeToString(previous), "entry %d", e.Seq)
	}
}

// TestKnown_Chain makes and verifies the chain of the file.
func TestKnown_Chain(t *testing.T) {
	k := readKnown(t)
	key := k.knownKey(t)
	defer key.Destroy()
	require.Equal(t, k.KeyID, hex.EncodeToString(idOf(key)))
	entries := knownEntries()
	entries[3].Head = k.Entries[1].MAC
	rows, err := audit.Chain(key, k.Tenant, nil, entries...)
	require.NoError(t, err)
	for i, row := range rows {
		require.Equal(t, k.Entries[i], knownEntry{Seq: row.Seq, Entry: string(row.Entry), Input: k.Entries[i].Input, MAC: hex.EncodeToString(row.MAC[:])})
	}
	find := func(context.Context, [16]byte) (*keyring.DataKey, error) { return key, nil }
	require.NoError(t, audit.Check(t.Context(), k.Tenant, find, rows))
	require.NoError(t, audit.Check(t.Context(), k.Tenant, find, rows[2:]), "the first two were dropped")
	require.ErrorIs(t, audit.Check(t.Context(), k.Tenant, find, rows[1:]), keyring.ErrTampered)
	require.ErrorIs(t, audit.Check(t.Context(), k.Tenant+"2", find, rows), keyring.ErrTampered)
}

func idOf(key *keyring.DataKey) []byte {
	id := key.ID()
	return id[:]
}

func readKnown(t *testing.T) *knownChain {
	t.Helper()
	text, err := os.ReadFile(knownFile)
	require.NoError(t, err)
	k := &knownChain{}
	require.NoError(t, json.Unmarshal(text, k))
	require.Len(t, k.Entries, 4)
	return k
}

// writeKnown makes a new file. Only a KEK sees a DEK, so one that keeps it is used.
func writeKnown(t *testing.T) {
	t.Helper()
	const kek = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
	inner, err := local.New("known", unhex(t, kek))
	require.NoError(t, err)
	keeping := &keepingKEK{KEK: inner}
	keys, err := keyring.New(keeping, nil)
	require.NoError(t, err)
	key, record, err := keys.NewKey(t.Context(), keyring.Context{"purpose": "data-key", "tenant": "acme"})
	require.NoError(t, err)
	defer key.Destroy()
	k := knownChain{
		About: "A chain of docs/format.md, section Audit chain. Byte strings are in hexadecimal.",
		KEKID: "known", KEK: kek, Record: hex.EncodeToString(record), DEK: hex.EncodeToString(keeping.dek), KeyID: hex.EncodeToString(idOf(key)), Tenant: "acme",
	}
	macKey, err := hkdf.Expand(sha256.New, keeping.dek, "ska/v1 audit\x00", 32)
	require.NoError(t, err)
	k.MACKey = hex.EncodeToString(macKey)
	var head *store.AuditRow
	previous := make([]byte, 32)
	for i, e := range knownEntries() {
		if e.Action == audit.Trim {
			e.Head = k.Entries[e.Through-1].MAC
		}
		rows, err := audit.Chain(key, k.Tenant, head, e)
		require.NoError(t, err)
		head = &rows[0]
		known := knownEntry{Seq: int64(i) + 1, Entry: string(head.Entry), MAC: hex.EncodeToString(head.MAC[:])}
		known.Input = hex.EncodeToString(macInput(previous, k.Tenant, known))
		previous = head.MAC[:]
		k.Entries = append(k.Entries, known)
	}
	text, err := json.MarshalIndent(k, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll("testdata", 0o755))
	require.NoError(t, os.WriteFile(knownFile, append(text, '\n'), 0o644))
}

// keepingKEK keeps the data key that it wrapped last.
type keepingKEK struct {
	keyring.KEK
	dek []byte
}

func (k *keepingKEK) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	k.dek = slices.Clone(dek)
	return k.KEK.Wrap(ctx, dek, c)
}
