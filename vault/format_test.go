package vault_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// This file computes seals, MACs and revisions independently, from docs/format.md and
// with the standard library only.

// macFunc is MAC(label, data...) under one data key.
type macFunc func(label string, data ...[]byte) [32]byte

// dataKey returns the macFunc of the tenant's newest data key, for tests that forge rows.
func (f *fixture) dataKey(t testing.TB, tenant string) macFunc {
	t.Helper()
	snap, err := f.Storage.Store.Read(t.Context(), store.Query{Scope: tenant})
	require.NoError(t, err)
	keys, err := keyring.New(f.KEK, nil)
	require.NoError(t, err)
	key, err := keys.OpenKey(t.Context(), snap.Keys[len(snap.Keys)-1], keyring.Context{"purpose": "data-key", "tenant": tenant})
	require.NoError(t, err)
	t.Cleanup(key.Destroy)
	return func(label string, data ...[]byte) [32]byte {
		mac, err := key.MAC(label, data...)
		require.NoError(t, err)
		return mac
	}
}

// lp is a u16 length and s.
func lp[T string | []byte](s T) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func u64(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// micros is t in Unix microseconds, or 0 for the zero time.
func micros(t time.Time) []byte {
	if t.IsZero() {
		return u64(0)
	}
	return u64(t.UnixMicro())
}

// sum is the SHA-256 hash of b.
func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// canonical is CE(c).
func canonical(c map[string]string) []byte {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(c)))
	for _, key := range slices.Sorted(maps.Keys(c)) {
		out = slices.Concat(out, lp(key), lp(c[key]))
	}
	return out
}

// sealContext is the encoded context of a scope's seal.
func sealContext(scope string) []byte {
	tenant, _, _ := strings.Cut(scope, "/")
	return canonical(map[string]string{"purpose": "seal", "tenant": tenant, "scope": scope})
}

// metaInput is the metadata of a version.
func metaInput(r *store.SecretRow) []byte {
	meta := slices.Concat(lp(r.Kind), lp(r.Delivery), micros(r.Created), micros(r.Rotated), micros(r.Expires), lp(r.Author), lp(r.Comment))
	var hosts []string
	if r.Hosts != "" {
		hosts = strings.Split(r.Hosts, ",")
	}
	meta = binary.BigEndian.AppendUint16(meta, uint16(len(hosts)))
	for _, host := range hosts {
		meta = append(meta, lp(host)...)
	}
	return meta
}

// revokedMeta is the metadata of a revoked token.
func revokedMeta(r *store.RevokedRow) []byte {
	return slices.Concat(lp(""), lp(""), micros(r.Revoked), u64(0), u64(0), lp(r.RevokedBy))
}

// versionInput is the input of the MAC of a version.
func versionInput(r *store.SecretRow) []byte {
	hidden := byte(0)
	if r.Hidden {
		hidden = 1
	}
	return slices.Concat(lp(r.Scope), lp(r.Name), u64(r.Version), []byte{hidden}, sum(metaInput(r)), sum(r.Message), sum(r.Preview))
}

// tokenInput is the input of the MAC of a token.
func tokenInput(r *store.TokenRow) []byte {
	return slices.Concat(lp(r.ID), r.Hash[:], lp(r.Scope), micros(r.Created), micros(r.Expires), micros(r.RotateBy),
		u64(r.Generation), lp(r.Label), lp(r.Waived), lp(r.Thumbprint))
}

// docInput is the input of the MAC of a document.
func docInput(d *store.Doc) []byte {
	return slices.Concat(lp(d.Owner), lp(d.Space), lp(d.Key), u64(d.Version), micros(d.Expires), sum(d.Body))
}

// sealEntries returns the input of the root hash of a seal, and the number of entries.
func sealEntries(s *store.ScopeState) ([]byte, int) {
	type entry struct {
		kind byte
		name string
		rest []byte
	}
	var entries []entry
	for i := range s.Secrets {
		r := &s.Secrets[i]
		e := entry{kind: 1, name: r.Name, rest: slices.Concat(u64(r.Version), sum(metaInput(r)), sum(r.Message))}
		if r.Hidden {
			e.kind, e.rest = 2, slices.Concat(u64(r.Version), sum(metaInput(r)), make([]byte, 32))
		}
		entries = append(entries, e)
	}
	for i := range s.Revoked {
		r := &s.Revoked[i]
		entries = append(entries, entry{kind: 3, name: r.ID, rest: slices.Concat(u64(0), sum(revokedMeta(r)), make([]byte, 32))})
	}
	for i := range s.Docs {
		d := &s.Docs[i]
		entries = append(entries, entry{kind: 4, name: d.Space + "/" + d.Key, rest: slices.Concat(u64(d.Version), sum(micros(d.Expires)), sum(d.Body))})
	}
	slices.SortFunc(entries, func(x, y entry) int { return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.name, y.name)) })
	var all []byte
	for _, e := range entries {
		all = slices.Concat(all, []byte{e.kind}, lp(e.name), e.rest)
	}
	return all, len(entries)
}

// sealBody is a seal without its MAC.
func sealBody(s *store.ScopeState, keyID [16]byte, epoch int64) []byte {
	entries, count := sealEntries(s)
	return slices.Concat([]byte("SKS\x01\x00\x01"), keyID[:], u64(epoch), binary.BigEndian.AppendUint32(nil, uint32(count)), sum(entries))
}

// reseal gives s a seal for its current rows, with the key id and the epoch of its
// current seal.
func reseal(mac macFunc, s *store.ScopeState) {
	body := sealBody(s, [16]byte(s.Seal[6:22]), int64(binary.BigEndian.Uint64(s.Seal[22:30])))
	tag := mac("sks/v1 scope seal", body, sealContext(s.Scope))
	s.Seal = append(body, tag[:]...)
}

// revisionInput is the input of the revision of a token's bundle.
func revisionInput(path []store.ScopeState, token *store.TokenRow) []byte {
	out := []byte("satchel/v1 etag\x00")
	for _, s := range path {
		out = slices.Concat(out, lp(s.Scope), lp(s.Seal))
	}
	return append(out, sum(slices.Concat(lp(token.ID), micros(token.Expires), micros(token.RotateBy), micros(token.Revoked)))...)
}

// revisionOf is the revision for the input of revisionInput.
func revisionOf(input []byte) string {
	return base64.RawURLEncoding.EncodeToString(sum(input)[:16])
}
