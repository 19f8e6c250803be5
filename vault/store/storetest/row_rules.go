package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// Rules about single rows: they are returned as they were stored.
var rowRules = []contractRule{
	{"every field is returned as it was stored", func(c *checker) {
		secret, tombstone, token := secretRow("acme/web", "NAME", 7), tombstoneRow("acme/web", "HIDDEN", 9), tokenRow("acme/web", "t1")
		seal, record := sealOf("acme/web", 1), keyRecord("acme", "first", 1)
		c.apply(store.Change{
			Keys:   []store.KeyChange{{Tenant: "acme", New: record, First: true}},
			Seals:  []store.SealChange{{Scope: "acme/web", New: seal}},
			Insert: []store.SecretRow{secret, tombstone},
			Issue:  []store.TokenRow{token},
		})
		c.same(&store.Snapshot{
			Path:     []store.ScopeState{{Scope: "acme"}, {Scope: "acme/web", Seal: seal, Secrets: []store.SecretRow{tombstone, secret}}},
			Keys:     []keyring.Record{record},
			Versions: []store.SecretRow{secret},
			Last:     7,
			Tokens:   []store.TokenRow{token},
		}, c.read(store.Query{Scope: "acme/web", Name: "NAME", Tokens: true}), "rows are returned as they were stored")
	}},
	{"times have microsecond precision, and the zero time stays zero", func(c *checker) {
		zone := time.FixedZone("east", 5*3600+1800)
		row, token := secretRow("acme", "NAME", 1), tokenRow("acme", "t1")
		row.Created = time.Date(2026, 3, 4, 5, 6, 7, 123456789, zone)
		row.Rotated = time.Time{}
		row.Expires = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
		token.Created = time.Date(1969, 7, 20, 20, 17, 40, 1999, time.UTC)
		token.Expires, token.RotateBy = time.Time{}, time.Time{}
		c.apply(store.Change{Insert: []store.SecretRow{row}, Issue: []store.TokenRow{token}})

		snap := c.read(store.Query{Scope: "acme", Name: "NAME", Tokens: true})
		require.Len(c, snap.Versions, 1)
		got := snap.Versions[0]
		require.True(c, got.Created.Equal(time.Date(2026, 3, 4, 5, 6, 7, 123456000, zone)), "stored %s, read %s", row.Created, got.Created)
		require.True(c, got.Rotated.IsZero(), "the zero time came back as %s", got.Rotated)
		require.True(c, got.Expires.Equal(row.Expires), "stored %s, read %s", row.Expires, got.Expires)
		require.True(c, got.LastUsed.IsZero(), "a secret that was never used shows a use at %s", got.LastUsed)
		require.Len(c, snap.Tokens, 1)
		require.True(c, snap.Tokens[0].Created.Equal(time.Date(1969, 7, 20, 20, 17, 40, 1000, time.UTC)), "stored %s, read %s", token.Created, snap.Tokens[0].Created)
		for _, at := range []time.Time{snap.Tokens[0].Expires, snap.Tokens[0].RotateBy, snap.Tokens[0].Revoked, snap.Tokens[0].LastUsed} {
			require.True(c, at.IsZero(), "the zero time of a token came back as %s", at)
		}
	}},
	{"unusual bytes and text are returned unchanged", func(c *checker) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		row, token := secretRow("acme", "NAME", 1), tokenRow("acme", "t1")
		row.Message = []byte(strings.Repeat(string(every), 400)) // more than 64 KiB
		row.Preview = []byte{0}
		row.KeyID, row.MAC = [16]byte{}, [32]byte{31: 0xff}
		row.Kind, row.Delivery, row.Author = "", longText, "it's; NULL"
		token.Label, token.Author, token.Waived, token.Hash = longText, "", longText, [32]byte{}
		record := append(keyRecord("acme", "first", 1), every...)
		c.apply(store.Change{
			Keys:   []store.KeyChange{{Tenant: "acme", New: record}},
			Seals:  []store.SealChange{{Scope: "acme", New: every}},
			Insert: []store.SecretRow{row},
			Issue:  []store.TokenRow{token},
		})
		use := store.Usage{Token: "t1", Time: timeOf("use"), Addr: "[fe80::1%eth0]:443", Runner: longText}
		c.touch(use)
		token.LastUsed, token.LastAddr, token.LastRunner = use.Time, use.Addr, use.Runner
		c.same(&store.Snapshot{
			Path:   []store.ScopeState{{Scope: "acme", Seal: every, Secrets: []store.SecretRow{row}}},
			Keys:   []keyring.Record{record},
			Tokens: []store.TokenRow{token},
		}, c.read(store.Query{Scope: "acme", Tokens: true}), "the store neither trims nor converts")
	}},
	{"names and ids are case-sensitive", func(c *checker) {
		c.apply(store.Change{
			Insert: []store.SecretRow{secretRow("acme", "NAME", 1), secretRow("acme", "name", 2)},
			Issue:  []store.TokenRow{tokenRow("acme", "abcDEF"), tokenRow("acme", "ABCdef")},
		})
		c.touch(store.Usage{Token: "abcDEF", Time: timeOf("use")}, store.Usage{Token: "abcDEF", Time: timeOf("use"), Scope: "acme", Name: "name"})
		c.apply(store.Change{Revoke: []store.RevokedRow{revokedRow("ABCdef")}})
		c.apply(store.Change{Delete: []store.NameRef{{Scope: "acme", Name: "NAME"}}})

		name := secretRow("acme", "name", 2)
		name.LastUsed, name.LastToken = timeOf("use"), "abcDEF"
		st := c.last(store.Query{Scope: "acme"})
		c.sameSecrets([]store.SecretRow{name}, st.Secrets, "NAME and name are two secrets")
		require.Len(c, st.Revoked, 1, "abcDEF and ABCdef are two tokens")
		require.Equal(c, "ABCdef", st.Revoked[0].ID)
		require.Nil(c, c.read(store.Query{Token: "ABCDEF"}).Token, "a token id must match exactly")
		require.True(c, c.read(store.Query{Token: "ABCdef"}).Token.LastUsed.IsZero(), "a use was recorded for another token")
	}},
	{"a change can have hundreds of rows", func(c *checker) {
		change := store.Change{}
		for i := range 300 {
			change.Insert = append(change.Insert, secretRow("acme", fmt.Sprintf("NAME_%03d", i), 1))
			change.Issue = append(change.Issue, tokenRow("acme", fmt.Sprintf("t%03d", i)))
		}
		c.apply(change)
		c.sameSecrets(change.Insert, c.last(store.Query{Scope: "acme"}).Secrets, "all rows are returned, sorted by name")
		require.Len(c, c.read(store.Query{Scope: "acme", Tokens: true}).Tokens, 300)

		remac, drop := store.Change{}, store.Change{}
		var want []store.TokenRow
		for i, row := range change.Issue {
			next, after := remacked(row)
			remac.Remac = append(remac.Remac, row, next) // the last one counts
			if i%3 == 0 {
				want = append(want, after)
			} else {
				drop.DropTokens = append(drop.DropTokens, store.TokenRef{Scope: "acme", ID: row.ID})
			}
		}
		c.apply(remac)
		c.apply(drop)
		for _, row := range want {
			c.sameTokens([]store.TokenRow{row}, []store.TokenRow{*c.read(store.Query{Token: row.ID}).Token}, "each token has its new MAC")
		}
		require.Len(c, c.read(store.Query{Scope: "acme", Tokens: true}).Tokens, len(want), "the others are dropped")
	}},
	{"the store keeps no reference to its arguments", func(c *checker) {
		secret, seal, record := secretRow("acme", "NAME", 1), sealOf("acme", 1), keyRecord("acme", "first", 1)
		change := store.Change{
			Keys:   []store.KeyChange{{Tenant: "acme", New: record}},
			Seals:  []store.SealChange{{Scope: "acme", New: seal}},
			Insert: []store.SecretRow{secret},
			Issue:  []store.TokenRow{tokenRow("acme", "t1")},
			Mint:   []store.MintChange{mintChange("acme", "github", 0, 1)},
			Docs:   []store.DocChange{{New: docRow("acme", "space", "key", 1)}, {New: sealedDoc("acme", "sealed", "key", 1)}},
			Append: entriesOf("acme", 1, 2),
		}
		c.apply(change)
		reseal := store.Change{Reseal: []store.SecretRow{secretRow("acme", "NAME", 1)}}
		c.apply(reseal)
		before := c.everything([]string{"acme"}, []string{"NAME"}, []string{"t1"})
		for _, b := range [][]byte{
			secret.Message, secret.Preview, seal, record, change.Mint[0].New.Message, change.Append[0].Entry, change.Append[1].Entry,
			reseal.Reseal[0].Message, reseal.Reseal[0].Preview, change.Docs[0].New.Body, change.Docs[1].New.Body,
		} {
			clear(b)
		}
		clear(change.Insert)
		clear(change.Issue)
		clear(change.Mint)
		clear(change.Docs)
		clear(change.Append)
		require.Equal(c, before, c.everything([]string{"acme"}, []string{"NAME"}, []string{"t1"}), "writing to the arguments of Apply changed the stored rows")
	}},
	{"the caller owns the results", func(c *checker) {
		c.apply(store.Change{
			Keys:   []store.KeyChange{{Tenant: "acme", New: keyRecord("acme", "first", 1)}},
			Seals:  []store.SealChange{{Scope: "acme", New: sealOf("acme", 1)}, {Scope: "acme/web", New: sealOf("acme/web", 1)}},
			Insert: []store.SecretRow{secretRow("acme", "NAME", 1), secretRow("acme/web", "NAME", 1)},
			Issue:  []store.TokenRow{tokenRow("acme", "t1"), tokenRow("acme", "t2")},
			Revoke: []store.RevokedRow{revokedRow("t2")},
			Mint:   []store.MintChange{mintChange("acme", "github", 0, 1)},
			Docs:   []store.DocChange{{New: docRow("acme", "space", "key", 1)}, {New: sealedDoc("acme", "sealed", "key", 1)}},
			Append: entriesOf("acme", 1, 2),
		})
		q := store.Query{Scope: "acme", Name: "NAME", Tokens: true, Below: true, History: true, Minted: true, AuditHead: true}
		snap, other := c.read(q), c.read(q)
		before := textOf(other)
		for _, row := range append(c.audit("acme", 0, 10), *snap.AuditHead) {
			clear(row.Entry)
		}
		clear(c.audit("acme", 0, 10))
		tenants, err := c.s.Tenants(c.Context(), "", 10)
		require.NoError(c, err)
		clear(tenants)
		scopes, err := c.s.Scopes(c.Context(), "acme")
		require.NoError(c, err)
		clear(scopes)
		for _, docs := range [][]store.Doc{c.docs(store.DocQuery{Owner: "acme", Space: "space", Limit: 10}), snap.Path[0].Docs} {
			clear(docs[0].Body)
			clear(docs)
		}
		clear(snap.Path[0].Minted[0].Message)
		clear(snap.Path[0].Minted)
		clear(snap.History[0].Versions[0].Message)
		clear(snap.History[0].Versions)
		clear(snap.History)
		for _, row := range append(snap.Versions, snap.Path[0].Secrets...) {
			clear(row.Message)
			clear(row.Preview)
		}
		clear(snap.Path[0].Seal)
		clear(snap.Keys[0])
		clear(snap.Path[0].Secrets)
		clear(snap.Path[0].Revoked)
		clear(snap.Path)
		clear(snap.Keys)
		clear(snap.Versions)
		clear(snap.Tokens)
		clear(snap.Below)
		*c.read(store.Query{Token: "t1"}).Token = store.TokenRow{}
		require.Equal(c, before, textOf(other), "writing to one snapshot changed another")
		require.Equal(c, before, textOf(c.read(q)), "writing to a snapshot changed the stored rows")
		require.Equal(c, "t1", c.read(store.Query{Token: "t1"}).Token.ID, "writing to a token's row changed the stored rows")
		require.Equal(c, auditRow(entriesOf("acme", 1, 2)...), auditRow(c.audit("acme", 0, 10)...), "writing to an audit entry changed the stored rows")
		tenants, err = c.s.Tenants(c.Context(), "", 10)
		require.NoError(c, err)
		require.Equal(c, []string{"acme"}, tenants, "writing to the tenants changed the stored rows")
		scopes, err = c.s.Scopes(c.Context(), "acme")
		require.NoError(c, err)
		require.Equal(c, []string{"acme", "acme/web"}, scopes, "writing to the scopes changed the stored rows")
		c.checkDocs([]store.Doc{docRow("acme", "space", "key", 1)}, store.DocQuery{Owner: "acme", Space: "space", Limit: 10}, "writing to a document changed the stored rows")
	}},
	{"applied changes survive reopening", func(c *checker) {
		s, ok := c.s.(Reopener)
		if !ok {
			return // the store does not claim to be durable
		}
		c.apply(fillScope("acme/web", "t1"))
		c.apply(store.Change{Keys: []store.KeyChange{{Tenant: "acme", New: keyRecord("acme", "first", 1)}}})
		c.apply(store.Change{Delete: []store.NameRef{{Scope: "acme/web", Name: "NAME"}}, Revoke: []store.RevokedRow{revokedRow("t1")}})
		c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme/web", "OTHER", 1)}})
		c.apply(store.Change{Mint: []store.MintChange{mintChange("acme/web", "github", 0, 1)}, Docs: []store.DocChange{{New: docRow("acme/web", "space", "key", 1)}, {New: sealedDoc("acme/web", "sealed", "key", 1)}}, Append: entriesOf("acme", 1, 5), DropAudit: []store.AuditRef{{Tenant: "acme", Seq: 2}}})
		c.touch(store.Usage{Token: "t1", Time: timeOf("use"), Addr: "addr", Runner: "runner"})
		before := c.everything([]string{"acme", "acme/web"}, []string{"NAME", "OTHER"}, []string{"t1"})
		newest, scopes := c.changes(0)

		again, err := s.Reopen(c.Context())
		require.NoError(c, err, "reopening")
		c.s = again
		require.Equal(c, before, c.everything([]string{"acme", "acme/web"}, []string{"NAME", "OTHER"}, []string{"t1"}), "reopening lost rows")
		n, sc := c.changes(0)
		require.Equal(c, newest, n, "the number of the newest change is kept")
		require.Equal(c, scopes, sc, "the changed scopes are still known")
		c.apply(store.Change{Seals: []store.SealChange{{Scope: "acme/web", Old: sealOf("acme/web", 1), New: sealOf("acme/web", 2)}}})
		n, sc = c.changes(newest)
		require.Greater(c, n, newest, "numbers increase across reopening")
		require.Equal(c, []string{"acme/web"}, sc)
	}},
}
