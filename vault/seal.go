package vault

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// A scope seal (SKS, version 1; docs/format.md) covers the rows of a scope. With it
// the vault detects rows that were swapped, rolled back, deleted or added directly
// in the database:
//
//	"SKS" 0x01 | u16 suite | key id[16] | u64 epoch | u32 count | root[32] | MAC[32]
const (
	sealMagic  = "SKS\x01"
	sealSuite  = 1
	sealBody   = 4 + 2 + 16 + 8 + 4 + 32
	sealLength = sealBody + 32

	// maxEpoch bounds the number of messages under one data key of a scope.
	maxEpoch = 1 << 30
)

// Labels of keyring.DataKey.MAC.
const (
	labelSeal    = "sks/v1 scope seal"
	labelToken   = "skt/v1 token"
	labelVersion = "skv/v1 version row"
	labelDoc     = "skd/v1 document"
)

// Types of the entries below a seal.
const (
	entryActive    = 1
	entryTombstone = 2
	entryRevoked   = 3
	entryDocument  = 4
)

// seal is a parsed scope seal.
type seal struct {
	keyID [16]byte
	epoch uint64
	count uint32
	root  [32]byte
}

func parseSeal(b []byte) (seal, error) {
	var s seal
	if len(b) != sealLength || string(b[:4]) != sealMagic || binary.BigEndian.Uint16(b[4:]) != sealSuite {
		return s, fmt.Errorf("%w: scope seal", keyring.ErrMalformed)
	}
	copy(s.keyID[:], b[6:])
	s.epoch = binary.BigEndian.Uint64(b[22:])
	s.count = binary.BigEndian.Uint32(b[30:])
	copy(s.root[:], b[34:])
	return s, nil
}

// makeSeal returns the seal of st with the given epoch.
func makeSeal(key *keyring.DataKey, st *store.ScopeState, epoch uint64) ([]byte, error) {
	if epoch > maxEpoch {
		return nil, fmt.Errorf("scope %s has been written %d times, the maximum for one data key; rotate the tenant's data key", st.Scope, maxEpoch)
	}
	root, count := contents(st)
	id := key.ID()
	b := make([]byte, 0, sealLength)
	b = append(b, sealMagic...)
	b = binary.BigEndian.AppendUint16(b, sealSuite)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint64(b, epoch)
	b = binary.BigEndian.AppendUint32(b, count)
	b = append(b, root[:]...)
	mac, err := sealMAC(key, b, st.Scope)
	if err != nil {
		return nil, err
	}
	return append(b, mac[:]...), nil
}

// checkSeal verifies that the seal of st is genuine and covers the rows of st.
func checkSeal(key *keyring.DataKey, st *store.ScopeState) error {
	s, err := parseSeal(st.Seal)
	if err != nil {
		return err
	}
	mac, err := sealMAC(key, st.Seal[:sealBody], st.Scope)
	if err != nil {
		return err
	}
	if !hmac.Equal(mac[:], st.Seal[sealBody:]) {
		return fmt.Errorf("%w: the seal of scope %s is not genuine", keyring.ErrTampered, st.Scope)
	}
	if root, count := contents(st); root != s.root || count != s.count {
		return fmt.Errorf("%w: the rows of scope %s do not match its seal", keyring.ErrTampered, st.Scope)
	}
	return nil
}

func sealMAC(key *keyring.DataKey, body []byte, scope string) ([32]byte, error) {
	ce, err := sealContext(scope).Encode()
	if err != nil {
		return [32]byte{}, err
	}
	return key.MAC(labelSeal, body, ce)
}

// contents returns the root over the entries of st, sorted by type and name,
// and their number.
func contents(st *store.ScopeState) (root [32]byte, count uint32) {
	type entry struct {
		kind    byte
		name    string
		version int64
		meta, h [32]byte
	}
	entries := make([]entry, 0, len(st.Secrets)+len(st.Revoked)+len(st.Docs))
	for _, row := range st.Secrets {
		e := entry{kind: entryTombstone, name: row.Name, version: row.Version, meta: sha256.Sum256(secretMeta(&row))}
		if !row.Hidden {
			e.kind = entryActive
			e.h = sha256.Sum256(row.Message)
		}
		entries = append(entries, e)
	}
	for _, t := range st.Revoked {
		meta := encodeMeta("", "", t.Revoked, time.Time{}, time.Time{}, t.RevokedBy)
		entries = append(entries, entry{kind: entryRevoked, name: t.ID, meta: sha256.Sum256(meta)})
	}
	for _, d := range st.Docs {
		e := entry{kind: entryDocument, name: docName(&d), version: d.Version, meta: sha256.Sum256(appendTime(nil, d.Expires)), h: sha256.Sum256(d.Body)}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(x, y entry) int {
		return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.name, y.name))
	})
	digest := sha256.New()
	var buf []byte
	for _, e := range entries {
		buf = append(buf[:0], e.kind)
		buf = appendLP(buf, e.name)
		buf = binary.BigEndian.AppendUint64(buf, uint64(e.version))
		buf = append(buf, e.meta[:]...)
		buf = append(buf, e.h[:]...)
		digest.Write(buf)
	}
	digest.Sum(root[:0])
	return root, uint32(len(entries))
}

func encodeMeta(kind, delivery string, created, rotated, expires time.Time, author string) []byte {
	var b []byte
	b = appendLP(b, kind)
	b = appendLP(b, delivery)
	b = appendTime(b, created)
	b = appendTime(b, rotated)
	b = appendTime(b, expires)
	return appendLP(b, author)
}

// appendLP appends a u16 length and s. Callers must have bounded the length of s.
func appendLP(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// appendTime appends Unix microseconds, 0 for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	var us int64
	if !t.IsZero() {
		us = t.UnixMicro()
	}
	return binary.BigEndian.AppendUint64(b, uint64(us))
}

// Contexts (docs/format.md) are computed from the request and never stored.

func keyContext(tenant string) keyring.Context {
	return keyring.Context{"purpose": "data-key", "tenant": tenant}
}

func groupContext(purpose, scope string) keyring.Context {
	return keyring.Context{"purpose": purpose, "tenant": store.Tenant(scope), "scope": scope}
}

func sealContext(scope string) keyring.Context { return groupContext("seal", scope) }

// Purposes of message groups.
const (
	purposeSecrets   = "secrets"
	purposePreviews  = "previews"
	purposeDocuments = "documents"
)
