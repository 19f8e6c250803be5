package sqlstore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// The rows of these tests depend only on n, so that rows written by another process
// can be checked. The golden files contain them too, so they must not change.

const (
	testScope = "acme/web"
	testName  = "NAME"
)

func testBytes(size int, seed string, n int) []byte {
	var b []byte
	for i := 0; len(b) < size; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", seed, n, i))
		b = append(b, sum[:]...)
	}
	return b[:size]
}

func testTime(n int) time.Time {
	return time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC).Add(time.Duration(n) * 1001 * time.Microsecond)
}

func testSeal(n int) []byte {
	return binary.BigEndian.AppendUint64(testBytes(90, "seal", n), uint64(n))
}

// sealNumber returns the n of a testSeal, and 0 for no seal.
func sealNumber(seal []byte) int {
	if len(seal) != 98 {
		return 0
	}
	return int(binary.BigEndian.Uint64(seal[90:]))
}

func testKey(n int) keyring.Record {
	return append([]byte("SKR\x01\x00\x01"), append(testBytes(16, "key id", 0), testBytes(150, "record", n)...)...)
}

func testSecret(n int) store.SecretRow {
	return store.SecretRow{
		Scope: testScope, Name: testName, Version: int64(n), Kind: "custom", Delivery: "env", Author: fmt.Sprint("author ", n), Comment: fmt.Sprint("comment ", n), Hosts: fmt.Sprintf("a%d.example,b.example", n),
		Created: testTime(0), Rotated: testTime(n), Expires: testTime(n + 1000),
		KeyID: [16]byte(testBytes(16, "key id", 0)), Message: testBytes(200+n%100, "message", n), Preview: testBytes(95, "preview", n),
		MAC: [32]byte(testBytes(32, "mac", n)),
	}
}

func testToken(n int) store.TokenRow {
	return store.TokenRow{
		ID: testTokenID(n), Hash: [32]byte(testBytes(32, "hash", n)), Scope: testScope,
		Created: testTime(n), Expires: testTime(n + 1), RotateBy: testTime(n + 2),
		Generation: int64(n + 3), Label: fmt.Sprint("label ", n), Thumbprint: fmt.Sprint("thumbprint ", n),
		KeyID: [16]byte(testBytes(16, "key id", 0)), MAC: [32]byte(testBytes(32, "token mac", n)), Author: fmt.Sprint("author ", n),
	}
}

func testTokenID(n int) string { return fmt.Sprintf("token%07d", n) }

func testMinted(n int) store.MintedRow {
	return store.MintedRow{
		Scope: testScope, Integration: "github", Identity: fmt.Sprint("identity ", n),
		Minted: testTime(n), Expires: testTime(n + 1000), Message: testBytes(150+n%100, "minted", n),
	}
}

// testDoc returns a version of a document, which is sealed if its space is "sealed".
func testDoc(space string, n int) store.Doc {
	return store.Doc{
		Owner: testScope, Space: space, Key: "key", Version: int64(n), Expires: testTime(n + 1000), Sealed: space == "sealed",
		Body: testBytes(80+n%100, "body "+space, n), KeyID: [16]byte(testBytes(16, "key id", 0)), MAC: [32]byte(testBytes(32, "doc mac "+space, n)),
	}
}

func testEntry(tenant string, n int) store.AuditRow {
	return store.AuditRow{
		Tenant: tenant, Seq: int64(n), Entry: testBytes(120+n%100, "entry "+tenant, n),
		KeyID: [16]byte(testBytes(16, "key id", 0)), MAC: [32]byte(testBytes(32, "audit mac "+tenant, n)),
	}
}

// testChange returns the n-th of a chain of changes. Each expects the previous one
// and writes every table.
func testChange(n int) *store.Change {
	c := &store.Change{
		Keys:   []store.KeyChange{{Tenant: "acme", New: testKey(n), First: n == 1}},
		Seals:  []store.SealChange{{Scope: testScope, New: testSeal(n)}},
		Insert: []store.SecretRow{testSecret(n)},
		Prune:  []store.VersionRef{{Scope: testScope, Name: testName, Version: int64(n - 2)}},
		Issue:  []store.TokenRow{testToken(n)},
		Mint:   []store.MintChange{{New: testMinted(n)}},
		Docs:   []store.DocChange{{Old: int64(n - 1), New: testDoc("sealed", n)}, {Old: int64(n - 1), New: testDoc("loose", n)}},
		Append: []store.AuditRow{testEntry("acme", n)},
	}
	if n > 1 {
		c.Mint[0].Old = testMinted(n - 1).Identity
		c.Keys[0].Old = testKey(n - 1)
		c.Seals[0].Old = testSeal(n - 1)
		c.Revoke = []store.RevokedRow{{ID: testTokenID(n - 1), Revoked: testTime(n), RevokedBy: fmt.Sprint("revoker ", n)}}
	}
	return c
}

// testQuery reads all rows that testChange writes.
var testQuery = store.Query{Scope: testScope, Name: testName, Tokens: true, Minted: true, AuditHead: true}

// requireChange requires that snap, the result of testQuery, has all rows of the
// first n changes and no others.
func requireChange(t require.TestingT, n int, snap *store.Snapshot) {
	requireRows(t, n, snap)
	if n == 0 {
		require.Nil(t, snap.AuditHead)
		require.Empty(t, snap.Path[1].Minted)
		require.Empty(t, snap.Path[1].Docs)
		return
	}
	require.Equal(t, []store.MintedRow{testMinted(n)}, snap.Path[1].Minted, "the minted row is that of the last change")
	require.Equal(t, []store.Doc{testDoc("sealed", n)}, snap.Path[1].Docs, "the sealed document is that of the last change")
	head := testEntry("acme", n)
	require.Equal(t, &head, snap.AuditHead, "the newest audit entry is that of the last change")
}

// requireRows is requireChange for the rows of the first version of the tables.
func requireRows(t require.TestingT, n int, snap *store.Snapshot) {
	require.Len(t, snap.Path, 2)
	st := snap.Path[1]
	require.Equal(t, n, sealNumber(st.Seal), "the seal is that of the last change")
	if n == 0 {
		require.Empty(t, snap.Keys)
		require.Empty(t, snap.Versions)
		require.Empty(t, snap.Tokens)
		return
	}
	require.True(t, bytes.Equal(testSeal(n), st.Seal), "the seal is intact")
	require.Equal(t, []keyring.Record{testKey(n)}, snap.Keys, "the key record is that of the last change")
	require.Equal(t, []store.SecretRow{testSecret(n)}, st.Secrets, "the active version is that of the last change")
	var versions []store.SecretRow
	for v := max(1, n-2); v <= n; v++ {
		versions = append(versions, testSecret(v))
	}
	require.Equal(t, versions, snap.Versions, "the last change left three versions")
	require.EqualValues(t, n, snap.Last)
	require.Len(t, snap.Tokens, n, "each change issued a token")
	for i, token := range snap.Tokens {
		want := testToken(i + 1)
		if i+1 < n {
			want.Revoked, want.RevokedBy = testTime(i+2), fmt.Sprint("revoker ", i+2)
		}
		require.Equal(t, want, token, "each change revoked the token before its own")
	}
	require.Len(t, st.Revoked, n-1, "the scope's revoked tokens are those before the last")
}
