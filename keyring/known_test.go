package keyring_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
)

// The files in testdata were written by an independent implementation in another
// language with the same fixed keys. They must always open. The tests recompute each
// intermediate value with the standard library only.

// hexBytes is a byte string, encoded in hex in the files.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type knownContext struct {
	Name    string
	Context keyring.Context
	Encoded hexBytes
}

type knownMessage struct {
	Name           string
	Key            hexBytes
	KeyID          hexBytes        `json:"key_id"`
	GroupContext   keyring.Context `json:"group_context"`
	MessageContext keyring.Context `json:"message_context"`
	Plaintext      hexBytes

	GroupContextEncoded   hexBytes `json:"group_context_encoded"`
	Info                  hexBytes
	OKM                   hexBytes
	Commitment            hexBytes
	MessageContextEncoded hexBytes `json:"message_context_encoded"`
	Nonce                 hexBytes
	AAD                   hexBytes
	Message               hexBytes
}

type knownWrap struct {
	Service, Key, Version string
	Blob                  hexBytes
	KEK                   hexBytes // the local KEK's key
}

type knownRecord struct {
	Name    string
	DataKey hexBytes `json:"data_key"`
	KeyID   hexBytes `json:"key_id"`
	Created uint64
	Context keyring.Context
	Wraps   []knownWrap

	ContextEncoded hexBytes `json:"context_encoded"`
	Body           hexBytes
	MACInfo        hexBytes `json:"mac_info"`
	MACKey         hexBytes `json:"mac_key"`
	MAC            hexBytes
	Record         hexBytes
}

type knownMAC struct {
	Name    string
	DataKey hexBytes `json:"data_key"`
	Label   string
	Data    []hexBytes

	Info   hexBytes
	MACKey hexBytes `json:"mac_key"`
	MAC    hexBytes
}

type knownEnvelope struct {
	Name         string
	Service, Key string
	KEK          hexBytes
	Context      keyring.Context
	Plaintext    hexBytes
	DataKey      hexBytes `json:"data_key"`
	Record       hexBytes
	Message      hexBytes
	Envelope     hexBytes
}

// known reads the cases of a file.
func known[T any](t testing.TB, name, format string) []T {
	t.Helper()
	content, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	var file struct {
		Format string
		Cases  []T
	}
	require.NoError(t, json.Unmarshal(content, &file))
	require.Equal(t, format, file.Format)
	require.NotEmpty(t, file.Cases)
	return file.Cases
}

// canonical encodes a context as docs/format.md specifies.
func canonical(c keyring.Context) []byte {
	var names []string
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	encoded := binary.BigEndian.AppendUint16(nil, uint16(len(c)))
	for _, name := range names {
		for _, part := range []string{name, c[name]} {
			encoded = binary.BigEndian.AppendUint16(encoded, uint16(len(part)))
			encoded = append(encoded, part...)
		}
	}
	return encoded
}

func expand(t testing.TB, key []byte, info string, n int) []byte {
	t.Helper()
	okm, err := hkdf.Expand(sha256.New, key, info, n)
	require.NoError(t, err)
	return okm
}

func sum(key []byte, data ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, d := range data {
		mac.Write(d)
	}
	return mac.Sum(nil)
}

// same compares byte strings in hex, so that a failure shows hex.
func same(t testing.TB, want, got []byte, rule string) {
	t.Helper()
	require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(got), rule)
}

func TestKnown_Contexts(t *testing.T) {
	for _, test := range known[knownContext](t, "context.json", "canonical context") {
		t.Run(test.Name, func(t *testing.T) {
			got, err := test.Context.Encode()
			require.NoError(t, err)
			same(t, test.Encoded, got, "the encoding of a context does not change")
			same(t, canonical(test.Context), got, "the encoding follows docs/format.md")
		})
	}
}

func TestKnown_Messages(t *testing.T) {
	for _, test := range known[knownMessage](t, "message.json", "SKM v1") {
		t.Run(test.Name, func(t *testing.T) {
			group, err := keyring.NewGroup(test.Key, [16]byte(test.KeyID), test.GroupContext)
			require.NoError(t, err)
			got, err := group.Open(nil, test.Message, test.MessageContext)
			require.NoError(t, err, "a message of version 1 always opens")
			same(t, test.Plaintext, got, "with its plaintext")
			id, err := keyring.MessageKeyID(test.Message)
			require.NoError(t, err)
			require.Equal(t, [16]byte(test.KeyID), id)
		})
	}
}

func TestKnown_MessageIntermediates(t *testing.T) {
	for _, test := range known[knownMessage](t, "message.json", "SKM v1") {
		t.Run(test.Name, func(t *testing.T) {
			same(t, canonical(test.GroupContext), test.GroupContextEncoded, "group context")
			digest := sha256.Sum256(test.GroupContextEncoded)
			same(t, append([]byte("skm/v1 message key\x00"), digest[:]...), test.Info, "info")
			same(t, expand(t, test.Key, string(test.Info), 64), test.OKM, "okm")
			same(t, test.OKM[32:], test.Commitment, "commitment")
			same(t, canonical(test.MessageContext), test.MessageContextEncoded, "message context")

			head := slices.Concat([]byte("SKM\x01\x00\x01"), test.KeyID, test.Commitment)
			same(t, slices.Concat(head, test.MessageContextEncoded), test.AAD, "associated data")
			same(t, slices.Concat(head, test.Nonce), test.Message[:66], "the bytes before the ciphertext")
			require.Len(t, test.Message, len(test.Plaintext)+keyring.Overhead)

			block, err := aes.NewCipher(test.OKM[:32])
			require.NoError(t, err)
			gcm, err := cipher.NewGCMWithRandomNonce(block)
			require.NoError(t, err)
			got, err := gcm.Open(nil, nil, test.Message[54:], test.AAD)
			require.NoError(t, err, "plain AES-GCM opens the ciphertext")
			same(t, test.Plaintext, got, "plaintext")
		})
	}
}

// knownKEKs returns the KEKs of a record.
func knownKEKs(t testing.TB, wraps []knownWrap) []keyring.KEK {
	var keks []keyring.KEK
	for _, w := range wraps {
		require.Equal(t, "local", w.Service)
		kek, err := local.New(w.Key, w.KEK)
		require.NoError(t, err)
		keks = append(keks, kek)
	}
	return keks
}

func TestKnown_Records(t *testing.T) {
	for _, test := range known[knownRecord](t, "record.json", "SKR v1") {
		t.Run(test.Name, func(t *testing.T) {
			for _, kek := range knownKEKs(t, test.Wraps) {
				key, err := newKeyring(t, kek, nil).OpenKey(t.Context(), keyring.Record(test.Record), test.Context)
				require.NoError(t, err, "each KEK of a record always opens it alone")
				same(t, test.DataKey, keyring.KeyBytes(key), "the data key")
				require.Equal(t, [16]byte(test.KeyID), key.ID())
				key.Destroy()
			}
		})
	}
}

func TestKnown_RecordFields(t *testing.T) {
	for _, test := range known[knownRecord](t, "record.json", "SKR v1") {
		t.Run(test.Name, func(t *testing.T) {
			rec := keyring.Record(test.Record)
			id, err := rec.ID()
			require.NoError(t, err)
			require.Equal(t, [16]byte(test.KeyID), id)
			created, err := rec.Created()
			require.NoError(t, err)
			require.Equal(t, time.Unix(int64(test.Created), 0).UTC(), created)
			keks, err := rec.KEKs()
			require.NoError(t, err)
			var want []keyring.KEKID
			for _, w := range test.Wraps {
				want = append(want, keyring.KEKID{Service: w.Service, Key: w.Key})
			}
			require.Equal(t, want, keks)
		})
	}
}

func TestKnown_RecordIntermediates(t *testing.T) {
	for _, test := range known[knownRecord](t, "record.json", "SKR v1") {
		t.Run(test.Name, func(t *testing.T) {
			body := slices.Concat([]byte("SKR\x01\x00\x01"), test.KeyID)
			body = binary.BigEndian.AppendUint64(body, test.Created)
			body = append(body, byte(len(test.Wraps)))
			for _, w := range test.Wraps {
				for _, part := range []string{w.Service, w.Key, w.Version, string(w.Blob)} {
					body = binary.BigEndian.AppendUint16(body, uint16(len(part)))
					body = append(body, part...)
				}
			}
			same(t, body, test.Body, "the body under the MAC")
			same(t, canonical(test.Context), test.ContextEncoded, "key context")
			same(t, []byte("skr/v1 record mac\x00"), test.MACInfo, "info")
			same(t, expand(t, test.DataKey, string(test.MACInfo), 32), test.MACKey, "MAC key")
			same(t, sum(test.MACKey, test.Body, test.ContextEncoded), test.MAC, "MAC")
			same(t, slices.Concat(test.Body, test.MAC), test.Record, "the record")
		})
	}
}

func TestKnown_MACs(t *testing.T) {
	// The MACs are under the data key of the first record.
	first := known[knownRecord](t, "record.json", "SKR v1")[0]
	key, err := newKeyring(t, knownKEKs(t, first.Wraps)[0], nil).
		OpenKey(t.Context(), keyring.Record(first.Record), first.Context)
	require.NoError(t, err)
	defer key.Destroy()
	for _, test := range known[knownMAC](t, "mac.json", "MAC") {
		t.Run(test.Name, func(t *testing.T) {
			same(t, first.DataKey, test.DataKey, "the data key")
			var data [][]byte
			for _, d := range test.Data {
				data = append(data, d)
			}
			got, err := key.MAC(test.Label, data...)
			require.NoError(t, err)
			same(t, test.MAC, got[:], "a MAC does not change")

			same(t, []byte(test.Label+"\x00"), test.Info, "info")
			same(t, expand(t, test.DataKey, string(test.Info), 32), test.MACKey, "MAC key")
			same(t, sum(test.MACKey, data...), test.MAC, "MAC")
		})
	}
}

func TestKnown_Envelopes(t *testing.T) {
	for _, test := range known[knownEnvelope](t, "envelope.json", "envelope") {
		t.Run(test.Name, func(t *testing.T) {
			kek, err := local.New(test.Key, test.KEK)
			require.NoError(t, err)
			got, err := newKeyring(t, kek, nil).OpenEnvelope(t.Context(), test.Envelope, test.Context)
			require.NoError(t, err, "an envelope always opens")
			same(t, test.Plaintext, got, "with its plaintext")

			length := binary.BigEndian.AppendUint32(nil, uint32(len(test.Record)))
			same(t, slices.Concat(length, test.Record, test.Message), test.Envelope, "the envelope")
		})
	}
}
