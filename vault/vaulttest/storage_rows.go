package vaulttest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// The rows below have every field set, each to something else, so that a
// storage which leaves one out or exchanges two is found.

// storageBytes returns n bytes that depend on seed.
func storageBytes(n int, seed ...any) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		sum := sha256.Sum256(fmt.Append(nil, i, fmt.Sprintf("%q", seed)))
		b = append(b, sum[:]...)
	}
	return b[:n]
}

// storageTime returns a time that depends on seed, to the microsecond.
func storageTime(seed ...any) time.Time {
	n := binary.BigEndian.Uint32(storageBytes(4, seed...))
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Microsecond)
}

// storageSeal returns the n-th seal of a scope.
func storageSeal(scope string, n int) []byte {
	seal := storageBytes(98, "seal", scope, n)
	binary.BigEndian.PutUint64(seal, uint64(n))
	return seal
}

// storageSealNumber returns the n of a storageSeal.
func storageSealNumber(seal []byte) int {
	if len(seal) < 8 {
		return 0
	}
	return int(binary.BigEndian.Uint64(seal))
}

// storageKey returns a key record with an id of its own for each tenant and
// key. Records of one key differ by n.
func storageKey(tenant, key string, n int) keyring.Record {
	r := []byte("SKR\x01\x00\x01")
	r = append(r, storageBytes(16, "key id", tenant, key)...)
	r = binary.BigEndian.AppendUint64(r, uint64(n)) // created
	r = append(r, 1)                                // wraps
	for _, part := range [][]byte{[]byte("test"), []byte("key"), nil, storageBytes(60, "blob", tenant, key, n)} {
		r = binary.BigEndian.AppendUint16(r, uint16(len(part)))
		r = append(r, part...)
	}
	return append(r, storageBytes(32, "mac", tenant, key, n)...)
}

// storageSecret returns a version with a message of about 100 bytes.
func storageSecret(scope, name string, version int64) store.SecretRow {
	row := store.SecretRow{
		Scope: scope, Name: name, Version: version,
		Kind: "kind-" + name, Delivery: "env", Author: fmt.Sprintf("author %d", version),
		Created: storageTime("created", scope, name), Rotated: storageTime("rotated", scope, name, version),
		Expires: storageTime("expires", scope, name, version),
		Message: storageBytes(100+int(version%50), "message", scope, name, version),
		Preview: storageBytes(90, "preview", scope, name, version),
	}
	copy(row.KeyID[:], storageBytes(16, "key id", store.Tenant(scope), "first"))
	copy(row.MAC[:], storageBytes(32, "mac", scope, name, version))
	return row
}

// storageTombstone returns a version that hides an inherited secret.
func storageTombstone(scope, name string, version int64) store.SecretRow {
	row := storageSecret(scope, name, version)
	row.Hidden, row.Message, row.Preview = true, nil, nil
	return row
}

// storageToken returns a token that is not revoked and was never used.
func storageToken(scope, id string) store.TokenRow {
	row := store.TokenRow{
		ID: id, Scope: scope,
		Created: storageTime("created", id), Expires: storageTime("expires", id), RotateBy: storageTime("rotate by", id),
		Label: "label of " + id, Author: "author of " + id, Waived: "WAIVED_BY,TOKEN_" + id,
	}
	copy(row.Hash[:], storageBytes(32, "hash", id))
	copy(row.KeyID[:], storageBytes(16, "key id", store.Tenant(scope), "first"))
	copy(row.MAC[:], storageBytes(32, "mac", id))
	return row
}

// storageRevoked returns the revocation of a token.
func storageRevoked(id string) store.RevokedRow {
	return store.RevokedRow{ID: id, Revoked: storageTime("revoked", id), RevokedBy: "revoker of " + id}
}

// storageMinted returns the n-th token that an integration minted for a scope.
func storageMinted(scope, integration string, n int) store.MintedRow {
	return store.MintedRow{
		Scope: scope, Integration: integration, Identity: fmt.Sprintf("identity %d of %s", n, integration),
		Minted: storageTime("minted", scope, integration, n), Expires: storageTime("expires", scope, integration, n),
		Message: storageBytes(100+n%50, "minted", scope, integration, n),
	}
}

// storageMint returns the change from one minted token to another; 0 is none.
func storageMint(scope, integration string, from, to int) store.MintChange {
	c := store.MintChange{New: store.MintedRow{Scope: scope, Integration: integration}}
	if from > 0 {
		c.Old = storageMinted(scope, integration, from).Identity
	}
	if to > 0 {
		c.New = storageMinted(scope, integration, to)
	}
	return c
}

// storageEntry returns an entry of a tenant's audit chain.
func storageEntry(tenant string, seq int64) store.AuditRow {
	row := store.AuditRow{Tenant: tenant, Seq: seq, Entry: storageBytes(40+int(seq%50), "entry", tenant, seq)}
	copy(row.KeyID[:], storageBytes(16, "key id", tenant, "first"))
	copy(row.MAC[:], storageBytes(32, "audit mac", tenant, seq))
	return row
}

// storageEntries returns the entries of a tenant's audit chain from one number
// to another.
func storageEntries(tenant string, from, to int64) []store.AuditRow {
	var rows []store.AuditRow
	for seq := from; seq <= to; seq++ {
		rows = append(rows, storageEntry(tenant, seq))
	}
	return rows
}

// storageFill returns the change that gives a scope its first seal, the secret
// NAME and the token id.
func storageFill(scope, id string) store.Change {
	return store.Change{
		Seals:  []store.SealChange{{Scope: scope, New: storageSeal(scope, 1)}},
		Insert: []store.SecretRow{storageSecret(scope, "NAME", 1)},
		Issue:  []store.TokenRow{storageToken(scope, id)},
	}
}

// storageText describes a snapshot in lines. Equal snapshots have the same text:
// an empty list is as good as none, the order is free where the contract leaves
// it free, and a time may be in any zone.
func storageText(snap *store.Snapshot) string {
	var b strings.Builder
	if snap.Token != nil {
		fmt.Fprintf(&b, "token %s", storageTokens(*snap.Token))
	}
	for _, st := range snap.Path {
		fmt.Fprintf(&b, "scope %s: seal %s\n%s", st.Scope, storageDigest(st.Seal), storageSecrets(st.Secrets...))
		for _, r := range st.Revoked {
			fmt.Fprintf(&b, "revoked %s %s by %q\n", r.ID, storageInstant(r.Revoked), r.RevokedBy)
		}
		for _, r := range st.Minted {
			fmt.Fprintf(&b, "minted by %s for %s: %q at %s, expires %s, message %s\n", r.Integration, r.Scope, r.Identity,
				storageInstant(r.Minted), storageInstant(r.Expires), storageDigest(append([]byte{}, r.Message...)))
		}
	}
	var keys []string
	for _, record := range snap.Keys {
		keys = append(keys, fmt.Sprintf("key record %s\n", storageDigest(record)))
	}
	slices.Sort(keys)
	b.WriteString(strings.Join(keys, ""))
	fmt.Fprintf(&b, "versions up to %d:\n%s", snap.Last, storageSecrets(snap.Versions...))
	for _, h := range snap.History {
		fmt.Fprintf(&b, "history of %s, active %d, up to %d:\n%s", h.Name, h.Active, h.Last, storageSecrets(h.Versions...))
	}
	fmt.Fprintf(&b, "tokens:\n%s", storageTokens(snap.Tokens...))
	for _, scope := range slices.Sorted(maps.Keys(snap.Below)) {
		fmt.Fprintf(&b, "below: %s has %d bytes\n", scope, snap.Below[scope])
	}
	if snap.AuditHead != nil {
		fmt.Fprintf(&b, "head of the audit chain: %s", storageAudit(*snap.AuditHead))
	}
	return b.String()
}

func storageSecrets(rows ...store.SecretRow) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "secret %s of %s, version %d (hidden: %t) kind %q, delivery %q, author %q, created %s, rotated %s, expires %s, key id %x, message %s, preview %s, MAC %x, used %s by %q\n",
			r.Name, r.Scope, r.Version, r.Hidden, r.Kind, r.Delivery, r.Author, storageInstant(r.Created), storageInstant(r.Rotated), storageInstant(r.Expires),
			r.KeyID, storageDigest(append([]byte{}, r.Message...)), storageDigest(append([]byte{}, r.Preview...)), r.MAC, storageInstant(r.LastUsed), r.LastToken)
	}
	return b.String()
}

func storageTokens(rows ...store.TokenRow) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s of %s: hash %x, created %s, expires %s, rotate by %s, key id %x, MAC %x, label %q, author %q, waived %q, revoked %s by %q, used %s from %q by %q\n",
			r.ID, r.Scope, r.Hash, storageInstant(r.Created), storageInstant(r.Expires), storageInstant(r.RotateBy), r.KeyID, r.MAC, r.Label, r.Author, r.Waived,
			storageInstant(r.Revoked), r.RevokedBy, storageInstant(r.LastUsed), r.LastAddr, r.LastRunner)
	}
	return b.String()
}

func storageAudit(rows ...store.AuditRow) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "entry %d of %s: %s, key id %x, MAC %x\n", r.Seq, r.Tenant, storageDigest(append([]byte{}, r.Entry...)), r.KeyID, r.MAC)
	}
	return b.String()
}

func storageInstant(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func storageDigest(b []byte) string {
	if b == nil {
		return "none"
	}
	sum := sha256.Sum256(b)
	return fmt.Sprintf("of %d bytes (SHA-256 %x)", len(b), sum[:8])
}

// same requires that got is want in all that the contract promises.
func (c *storageCheck) same(want, got *store.Snapshot, why string) {
	c.Helper()
	require.Equal(c, storageText(want), storageText(got), why)
}

// sameSecrets requires that got is want.
func (c *storageCheck) sameSecrets(want, got []store.SecretRow, why string) {
	c.Helper()
	require.Equal(c, storageSecrets(want...), storageSecrets(got...), why)
}

// sameTokens requires that got is want.
func (c *storageCheck) sameTokens(want, got []store.TokenRow, why string) {
	c.Helper()
	require.Equal(c, storageTokens(want...), storageTokens(got...), why)
}

// everything describes all that is stored for some scopes, names and tokens, to
// be compared with what is stored later.
func (c *storageCheck) everything(scopes, names, tokens []string) string {
	c.Helper()
	var b strings.Builder
	tenants, err := c.s.Tenants(c.Context(), "", 1000)
	require.NoError(c, err, "asking for the tenants")
	fmt.Fprintf(&b, "tenants %q\n", tenants)
	for _, scope := range scopes {
		b.WriteString(storageText(c.read(store.Query{Scope: scope, Tokens: true, Below: true, History: true, Minted: true, AuditHead: true})))
		b.WriteString(storageAudit(c.audit(store.Tenant(scope), 0, 1000)...))
		for _, name := range names {
			b.WriteString(storageText(c.read(store.Query{Scope: scope, Name: name})))
		}
	}
	for _, id := range tokens {
		b.WriteString(storageText(c.read(store.Query{Token: id})))
	}
	return b.String()
}

// storageLongText is text that a careless query, collation or escape changes.
var storageLongText = strings.Repeat(`%_' "\; -- Größe ☃ 😀 `, 5)
