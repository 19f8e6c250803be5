package storetest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// The rows below have every field set, each to a different value, so that a store
// that drops or swaps fields is detected.

// bytesOf returns n bytes that depend on seed.
func bytesOf(n int, seed ...any) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		sum := sha256.Sum256(fmt.Append(nil, i, fmt.Sprintf("%q", seed)))
		b = append(b, sum[:]...)
	}
	return b[:n]
}

// timeOf returns a time that depends on seed, to the microsecond.
func timeOf(seed ...any) time.Time {
	n := binary.BigEndian.Uint32(bytesOf(4, seed...))
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Microsecond)
}

// sealOf returns the n-th seal of a scope.
func sealOf(scope string, n int) []byte {
	seal := bytesOf(98, "seal", scope, n)
	binary.BigEndian.PutUint64(seal, uint64(n))
	return seal
}

// sealNumber returns the n of a seal that sealOf made.
func sealNumber(seal []byte) int {
	if len(seal) < 8 {
		return 0
	}
	return int(binary.BigEndian.Uint64(seal))
}

// keyRecord returns a key record whose id depends on tenant and key. Records of one
// key differ by n.
func keyRecord(tenant, key string, n int) keyring.Record {
	r := []byte("SKR\x01\x00\x01")
	r = append(r, bytesOf(16, "key id", tenant, key)...)
	r = binary.BigEndian.AppendUint64(r, uint64(n)) // created
	r = append(r, 1)                                // wraps
	for _, part := range [][]byte{[]byte("test"), []byte("key"), nil, bytesOf(60, "blob", tenant, key, n)} {
		r = binary.BigEndian.AppendUint16(r, uint16(len(part)))
		r = append(r, part...)
	}
	return append(r, bytesOf(32, "mac", tenant, key, n)...)
}

// secretRow returns a version with a message of about 100 bytes.
func secretRow(scope, name string, version int64) store.SecretRow {
	row := store.SecretRow{
		Scope: scope, Name: name, Version: version,
		Kind: "kind-" + name, Delivery: "env", Author: fmt.Sprintf("author %d", version),
		Comment: fmt.Sprintf("comment %d", version), Hosts: "a.example," + name + ".example",
		Created: timeOf("created", scope, name), Rotated: timeOf("rotated", scope, name, version),
		Expires: timeOf("expires", scope, name, version),
		Message: bytesOf(100+int(version%50), "message", scope, name, version),
		Preview: bytesOf(90, "preview", scope, name, version),
	}
	copy(row.KeyID[:], bytesOf(16, "key id", store.Tenant(scope), "first"))
	copy(row.MAC[:], bytesOf(32, "mac", scope, name, version))
	return row
}

// tombstoneRow returns a version that hides an inherited secret.
func tombstoneRow(scope, name string, version int64) store.SecretRow {
	row := secretRow(scope, name, version)
	row.Hidden, row.Message, row.Preview = true, nil, nil
	return row
}

// tokenRow returns a token that is not revoked and was never used.
func tokenRow(scope, id string) store.TokenRow {
	row := store.TokenRow{
		ID: id, Scope: scope,
		Created: timeOf("created", id), Expires: timeOf("expires", id), RotateBy: timeOf("rotate by", id),
		Generation: int64(len(id)), Label: "label of " + id, Waived: "WAIVED_BY,TOKEN_" + id, Thumbprint: "thumbprint of " + id,
		Author: "author of " + id,
	}
	copy(row.Hash[:], bytesOf(32, "hash", id))
	copy(row.KeyID[:], bytesOf(16, "key id", store.Tenant(scope), "first"))
	copy(row.MAC[:], bytesOf(32, "mac", id))
	return row
}

// revokedRow returns the revocation of a token.
func revokedRow(id string) store.RevokedRow {
	return store.RevokedRow{ID: id, Revoked: timeOf("revoked", id), RevokedBy: "revoker of " + id}
}

// mintedRow returns the n-th row that an integration minted for a scope.
func mintedRow(scope, integration string, n int) store.MintedRow {
	return store.MintedRow{
		Scope: scope, Integration: integration, Identity: fmt.Sprintf("identity %d of %s", n, integration),
		Minted: timeOf("minted", scope, integration, n), Expires: timeOf("expires", scope, integration, n),
		Message: bytesOf(100+n%50, "minted", scope, integration, n),
	}
}

// mintChange returns the change from one minted row to another; 0 means no row.
func mintChange(scope, integration string, from, to int) store.MintChange {
	c := store.MintChange{New: store.MintedRow{Scope: scope, Integration: integration}}
	if from > 0 {
		c.Old = mintedRow(scope, integration, from).Identity
	}
	if to > 0 {
		c.New = mintedRow(scope, integration, to)
	}
	return c
}

// docRow returns a version of a document that is not sealed.
func docRow(owner, space, key string, version int64) store.Doc {
	doc := store.Doc{
		Owner: owner, Space: space, Key: key, Version: version, Expires: timeOf("expires", owner, space, key, version),
		Body: bytesOf(100+int(version%50), "body", owner, space, key, version),
	}
	copy(doc.KeyID[:], bytesOf(16, "key id", store.Tenant(owner), "first"))
	copy(doc.MAC[:], bytesOf(32, "doc mac", owner, space, key, version))
	return doc
}

// sealedDoc is docRow for a sealed document.
func sealedDoc(owner, space, key string, version int64) store.Doc {
	doc := docRow(owner, space, key, version)
	doc.Sealed = true
	return doc
}

// entryOf returns an entry of a tenant's audit chain.
func entryOf(tenant string, seq int64) store.AuditRow {
	row := store.AuditRow{Tenant: tenant, Seq: seq, Entry: bytesOf(40+int(seq%50), "entry", tenant, seq)}
	copy(row.KeyID[:], bytesOf(16, "key id", tenant, "first"))
	copy(row.MAC[:], bytesOf(32, "audit mac", tenant, seq))
	return row
}

// entriesOf returns the entries of a tenant's audit chain from one number
// to another.
func entriesOf(tenant string, from, to int64) []store.AuditRow {
	var rows []store.AuditRow
	for seq := from; seq <= to; seq++ {
		rows = append(rows, entryOf(tenant, seq))
	}
	return rows
}

// fillScope returns the change that gives a scope its first seal, the secret
// NAME and the token id.
func fillScope(scope, id string) store.Change {
	return store.Change{
		Seals:  []store.SealChange{{Scope: scope, New: sealOf(scope, 1)}},
		Insert: []store.SecretRow{secretRow(scope, "NAME", 1)},
		Issue:  []store.TokenRow{tokenRow(scope, id)},
	}
}

// textOf describes a snapshot in lines. Snapshots that are equal by the contract have
// the same text: empty and nil lists are equal, lists without a defined order are
// sorted, and times may be in any zone.
func textOf(snap *store.Snapshot) string {
	var b strings.Builder
	if snap.Token != nil {
		fmt.Fprintf(&b, "token %s", tokensText(*snap.Token))
	}
	for _, st := range snap.Path {
		fmt.Fprintf(&b, "scope %s: seal %s\n%s", st.Scope, digestOf(st.Seal), secretsText(st.Secrets...))
		for _, r := range st.Revoked {
			fmt.Fprintf(&b, "revoked %s %s by %q\n", r.ID, instantOf(r.Revoked), r.RevokedBy)
		}
		b.WriteString(docsText(st.Docs...))
		for _, r := range st.Minted {
			fmt.Fprintf(&b, "minted by %s for %s: %q at %s, expires %s, message %s\n", r.Integration, r.Scope, r.Identity,
				instantOf(r.Minted), instantOf(r.Expires), digestOf(append([]byte{}, r.Message...)))
		}
	}
	var keys []string
	for _, record := range snap.Keys {
		keys = append(keys, fmt.Sprintf("key record %s\n", digestOf(record)))
	}
	slices.Sort(keys)
	b.WriteString(strings.Join(keys, ""))
	fmt.Fprintf(&b, "versions up to %d:\n%s", snap.Last, secretsText(snap.Versions...))
	for _, h := range snap.History {
		fmt.Fprintf(&b, "history of %s, active %d, up to %d:\n%s", h.Name, h.Active, h.Last, secretsText(h.Versions...))
	}
	fmt.Fprintf(&b, "tokens:\n%s", tokensText(snap.Tokens...))
	for _, scope := range snap.Below {
		fmt.Fprintf(&b, "below: %s\n", scope)
	}
	if snap.AuditHead != nil {
		fmt.Fprintf(&b, "head of the audit chain: %s", auditRow(*snap.AuditHead))
	}
	return b.String()
}

func secretsText(rows ...store.SecretRow) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "secret %s of %s, version %d (hidden: %t) kind %q, delivery %q, author %q, comment %q, hosts %q, created %s, rotated %s, expires %s, key id %x, message %s, preview %s, MAC %x, used %s by %q\n",
			r.Name, r.Scope, r.Version, r.Hidden, r.Kind, r.Delivery, r.Author, r.Comment, r.Hosts, instantOf(r.Created), instantOf(r.Rotated), instantOf(r.Expires),
			r.KeyID, digestOf(append([]byte{}, r.Message...)), digestOf(append([]byte{}, r.Preview...)), r.MAC, instantOf(r.LastUsed), r.LastToken)
	}
	return b.String()
}

func tokensText(rows ...store.TokenRow) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s of %s: hash %x, created %s, expires %s, rotate by %s, generation %d, label %q, waived %q, thumbprint %q, key id %x, MAC %x, author %q, revoked %s by %q, used %s from %q by %q\n",
			r.ID, r.Scope, r.Hash, instantOf(r.Created), instantOf(r.Expires), instantOf(r.RotateBy), r.Generation, r.Label, r.Waived, r.Thumbprint, r.KeyID, r.MAC, r.Author,
			instantOf(r.Revoked), r.RevokedBy, instantOf(r.LastUsed), r.LastAddr, r.LastRunner)
	}
	return b.String()
}

func docsText(docs ...store.Doc) string {
	var b strings.Builder
	for _, d := range docs {
		fmt.Fprintf(&b, "document %s of %s in %s, version %d (sealed: %t) expires %s, body %s, key id %x, MAC %x\n",
			d.Key, d.Owner, d.Space, d.Version, d.Sealed, instantOf(d.Expires), digestOf(append([]byte{}, d.Body...)), d.KeyID, d.MAC)
	}
	return b.String()
}

func auditRow(rows ...store.AuditRow) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "entry %d of %s: %s, key id %x, MAC %x\n", r.Seq, r.Tenant, digestOf(append([]byte{}, r.Entry...)), r.KeyID, r.MAC)
	}
	return b.String()
}

func instantOf(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func digestOf(b []byte) string {
	if b == nil {
		return "none"
	}
	sum := sha256.Sum256(b)
	return fmt.Sprintf("of %d bytes (SHA-256 %x)", len(b), sum[:8])
}

// same requires that got equals want in everything that the contract defines.
func (c *checker) same(want, got *store.Snapshot, why string) {
	c.Helper()
	require.Equal(c, textOf(want), textOf(got), why)
}

// sameSecrets requires that got equals want.
func (c *checker) sameSecrets(want, got []store.SecretRow, why string) {
	c.Helper()
	require.Equal(c, secretsText(want...), secretsText(got...), why)
}

// sameTokens requires that got equals want.
func (c *checker) sameTokens(want, got []store.TokenRow, why string) {
	c.Helper()
	require.Equal(c, tokensText(want...), tokensText(got...), why)
}

// everything describes all stored rows of some scopes, names and tokens, for a
// comparison with a later state.
func (c *checker) everything(scopes, names, tokens []string) string {
	c.Helper()
	var b strings.Builder
	tenants, err := c.s.Tenants(c.Context(), "", 1000)
	require.NoError(c, err, "reading the tenants")
	fmt.Fprintf(&b, "tenants %q\n", tenants)
	for _, scope := range scopes {
		b.WriteString(textOf(c.read(store.Query{Scope: scope, Tokens: true, Below: true, History: true, Minted: true, AuditHead: true})))
		b.WriteString(auditRow(c.audit(store.Tenant(scope), 0, 1000)...))
		for _, space := range []string{"space", "sealed"} {
			b.WriteString(docsText(c.docs(store.DocQuery{Owner: scope, Space: space, Limit: 1000})...))
		}
		all, err := c.s.Scopes(c.Context(), store.Tenant(scope))
		require.NoError(c, err, "reading the scopes")
		fmt.Fprintf(&b, "scopes %q\n", all)
		for _, name := range names {
			b.WriteString(textOf(c.read(store.Query{Scope: scope, Name: name})))
		}
	}
	for _, id := range tokens {
		b.WriteString(textOf(c.read(store.Query{Token: id})))
	}
	return b.String()
}

// longText is text that careless queries, collations or escaping would change.
var longText = strings.Repeat(`%_' "\; -- Größe ☃ 😀 `, 5)
