package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/store"
)

// docs returns the documents for q.
func (c *checker) docs(q store.DocQuery) []store.Doc {
	c.Helper()
	docs, err := c.s.Docs(c.Context(), q)
	require.NoError(c, err, "reading the documents %+v", q)
	return docs
}

// checkDocs requires that want are the documents for q.
func (c *checker) checkDocs(want []store.Doc, q store.DocQuery, why string) {
	c.Helper()
	require.Equal(c, docsText(want...), docsText(c.docs(q)...), why)
}

// checkSealedDocs requires that want are the sealed documents of a scope.
func (c *checker) checkSealedDocs(scope string, want []store.Doc, why string) {
	c.Helper()
	require.Equal(c, docsText(want...), docsText(c.last(store.Query{Scope: scope}).Docs...), why)
}

// putDocs inserts documents.
func (c *checker) putDocs(docs ...store.Doc) {
	c.Helper()
	var change store.Change
	for _, doc := range docs {
		change.Docs = append(change.Docs, store.DocChange{New: doc})
	}
	c.apply(change)
}

// docChange returns the change of a document from one version to another; 0 means no
// document.
func docChange(owner, space, key string, from, to int64) store.DocChange {
	c := store.DocChange{Old: from, New: store.Doc{Owner: owner, Space: space, Key: key}}
	if to > 0 {
		c.New = docRow(owner, space, key, to)
	}
	return c
}

// Rules about documents.
var docRules = []contractRule{
	{"documents are returned as they were stored", func(c *checker) {
		odd := docRow("acme/web", "space", longText, 1<<53)
		odd.Expires = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.FixedZone("east", 5*3600))
		odd.Body = append([]byte{0, 0xff}, bytesOf(70_000, "body")...)
		odd.KeyID, odd.MAC = [16]byte{}, [32]byte{31: 0xff}
		bare := store.Doc{Owner: store.Platform, Space: "space", Key: "bare", Version: 1}
		c.putDocs(odd, bare, sealedDoc("acme/web", "sealed", "key", 7))
		odd.Expires = odd.Expires.Truncate(time.Microsecond)
		c.checkDocs([]store.Doc{odd}, store.DocQuery{Owner: "acme/web", Space: "space", Limit: 10}, "every field is returned as it was stored")
		c.checkDocs([]store.Doc{bare}, store.DocQuery{Owner: store.Platform, Space: "space", Key: "bare"}, "fields may be empty")
		require.True(c, c.docs(store.DocQuery{Owner: store.Platform, Space: "space", Key: "bare"})[0].Expires.IsZero(), "the zero time stays zero")
		c.checkDocs([]store.Doc{sealedDoc("acme/web", "sealed", "key", 7)}, store.DocQuery{Owner: "acme/web", Space: "sealed", Limit: 10}, "sealed documents are returned too")

		bare.Version, bare.Body = 2, []byte("body")
		c.apply(store.Change{Docs: []store.DocChange{{Old: 1, New: bare}}})
		c.checkDocs([]store.Doc{bare}, store.DocQuery{Owner: store.Platform, Space: "space", Limit: 1}, "a new version replaces every field")
		next := sealedDoc("acme/web", "sealed", "key", 8)
		next.Expires = time.Time{}
		c.apply(store.Change{Docs: []store.DocChange{{Old: 7, New: next}}})
		c.checkDocs([]store.Doc{next}, store.DocQuery{Owner: "acme/web", Space: "sealed", Key: "key"}, "the expiry too")
	}},
	{"sealed documents are returned with the state of their scope", func(c *checker) {
		for _, owner := range []string{"acme", "acme/web", "acme/web/pool", "acme/web-2", "acme/we_", store.Platform} {
			for _, name := range []string{"b/a", "a/b", "B/z", "a/B", "ab/a", "a/_", "a/c"} {
				space, key, _ := strings.Cut(name, "/")
				c.putDocs(sealedDoc(owner, space, key, 1), docRow(owner, "loose"+space, key, 1))
			}
		}
		sealed := func(owner string) []store.Doc {
			var docs []store.Doc
			for _, name := range []string{"B/z", "a/B", "a/_", "a/b", "a/c", "ab/a", "b/a"} {
				space, key, _ := strings.Cut(name, "/")
				docs = append(docs, sealedDoc(owner, space, key, 1))
			}
			return docs
		}
		c.apply(store.Change{Issue: []store.TokenRow{tokenRow("acme/web", "t1")}})
		token := tokenRow("acme/web", "t1")
		want := &store.Snapshot{Token: &token, Path: []store.ScopeState{{Scope: "acme", Docs: sealed("acme")}, {Scope: "acme/web", Docs: sealed("acme/web")}}}
		c.same(want, c.read(store.Query{Token: "t1"}), "each scope of the path has its sealed documents, by space and then by key, in byte order")
		want.Path[0].Docs, want.Path[1].Docs = nil, nil
		c.same(want, c.read(store.Query{Token: "t1", SealsOnly: true}), "SealsOnly leaves them out")
		c.checkSealedDocs(store.Platform, sealed(store.Platform), "the platform's documents are those of a tenant of that name")

		loose := docRow("acme", "a", "b", 2)
		c.apply(store.Change{Docs: []store.DocChange{{Old: 1, New: loose}, {Old: 1, New: sealedDoc("acme", "loosea", "b", 2)}}})
		docs := sealed("acme")
		docs = append(append(docs[:3:3], docs[4:]...), sealedDoc("acme", "loosea", "b", 2))
		c.checkSealedDocs("acme", docs, "the flag is that of the newest version")
	}},
	{"Docs returns the documents of a space, in byte order of their keys", func(c *checker) {
		keys := []string{"A", "B", "_", "a", "a%", "a/b", "aa", "b", "é"} // in byte order
		var all []store.Doc
		for _, key := range keys {
			all = append(all, docRow("acme/a_b", "sp_ce", key, 1))
		}
		for _, i := range []int{4, 0, 8, 2, 6, 1, 7, 3, 5} {
			c.putDocs(all[i])
		}
		for _, other := range []store.DocQuery{{Owner: "acme/axb", Space: "sp_ce"}, {Owner: "acme/a_b", Space: "space"}, {Owner: "acme/a_b", Space: "SP_CE"}, {Owner: "acme/a_b/c", Space: "sp_ce"}, {Owner: "acme", Space: "sp_ce"}} {
			c.putDocs(docRow(other.Owner, other.Space, "a", 1))
		}
		q := store.DocQuery{Owner: "acme/a_b", Space: "sp_ce", Limit: 100}
		c.checkDocs(all, q, "all documents of one owner and one space")
		for i, key := range keys {
			q.After = key
			c.checkDocs(all[i+1:], q, "those after "+key)
			c.checkDocs(all[i+1:min(i+4, len(all))], store.DocQuery{Owner: q.Owner, Space: q.Space, After: key, Limit: 3}, "at most 3 after "+key)
			c.checkDocs(all[i:i+1], store.DocQuery{Owner: q.Owner, Space: q.Space, Key: key, After: "zzz"}, "Key alone selects a document")
		}
		q.After = "a$"
		c.checkDocs(all[4:], q, "the key to start after need not exist")
		c.checkDocs(nil, store.DocQuery{Owner: q.Owner, Space: q.Space}, "the limit is zero")
		c.checkDocs(nil, store.DocQuery{Owner: q.Owner, Space: q.Space, Key: "AA"}, "a key must match exactly")
		c.checkDocs(nil, store.DocQuery{Owner: "none", Space: q.Space, Limit: 10}, "an owner without documents")
	}},
	{"a document is replaced only if its version is the expected one", func(c *checker) {
		change := func(from, to int64) store.Change {
			return store.Change{Docs: []store.DocChange{docChange("acme", "space", "key", from, to)}}
		}
		stored := func(version int64) {
			c.Helper()
			var want []store.Doc
			if version > 0 {
				want = []store.Doc{docRow("acme", "space", "key", version)}
			}
			c.checkDocs(want, store.DocQuery{Owner: "acme", Space: "space", Limit: 10}, "the stored version")
		}
		c.putDocs(docRow("acme/web", "space", "key", 4), docRow("acme", "other", "key", 4), docRow("acme", "space2", "key", 4))
		c.refuse(change(1, 2), "there is no document to replace")
		c.refuse(change(1, 0), "there is no document to remove")
		c.apply(change(0, 0))
		stored(0)
		c.apply(change(0, 3))
		stored(3)
		c.refuse(change(0, 4), "there is a document already")
		c.refuse(change(0, 0), "there is a document, and none is expected")
		c.refuse(change(2, 4), "the version is another one")
		c.refuse(change(4, 5), "the version is another one")
		c.refuse(change(4, 0), "the version is another one")
		stored(3)
		c.apply(change(3, 4))
		stored(4)
		again := docRow("acme", "space", "key", 4)
		again.Body = []byte("another body of the same version")
		c.apply(store.Change{Docs: []store.DocChange{{Old: 4, New: again}}})
		c.checkDocs([]store.Doc{again}, store.DocQuery{Owner: "acme", Space: "space", Limit: 10}, "a version may replace itself")
		c.apply(change(4, 2))
		stored(2)
		c.apply(change(2, 0))
		stored(0)
		c.apply(store.Change{Docs: []store.DocChange{docChange("acme", "space", "key", 0, 1), docChange("acme", "space", "key", 1, 2)}})
		stored(2)
		c.apply(store.Change{Docs: []store.DocChange{docChange("acme", "space", "key", 2, 0), docChange("acme", "space", "key", 0, 5)}})
		stored(5)
		c.checkDocs([]store.Doc{docRow("acme/web", "space", "key", 4)}, store.DocQuery{Owner: "acme/web", Space: "space", Limit: 10}, "another owner's document is unchanged")
		c.checkDocs([]store.Doc{docRow("acme", "other", "key", 4)}, store.DocQuery{Owner: "acme", Space: "other", Limit: 10}, "a document of another space is unchanged")
	}},
	{"expired documents are removed on request", func(c *checker) {
		at := timeOf("expiry")
		expiring := func(owner, space, key string, expires time.Time) store.Doc {
			doc := docRow(owner, space, key, 1)
			doc.Expires = expires
			return doc
		}
		sealed := expiring("acme", "space", "sealed", at.Add(-time.Hour))
		sealed.Sealed = true
		kept := []store.Doc{
			expiring("acme", "space", "at", at), expiring("acme", "space", "later", at.Add(time.Microsecond)),
			expiring("acme", "space", "never", time.Time{}), sealed,
		}
		c.putDocs(kept...)
		c.putDocs(
			expiring("acme", "space", "before", at.Add(-time.Microsecond)), expiring("acme", "space", "old", time.Unix(-5, 0)),
			expiring("acme", "space2", "before", at.Add(-time.Hour)), expiring("acme/web", "space", "before", at.Add(-time.Hour)),
		)
		c.checkDocs([]store.Doc{expiring("acme", "space", "before", at.Add(-time.Microsecond))}, store.DocQuery{Owner: "acme", Space: "space", Key: "before"},
			"a document that has expired is returned until it is removed")
		c.apply(store.Change{ExpireDocs: []store.DocExpiry{{Owner: "acme", Space: "space", Before: at}, {Owner: "none", Space: "space", Before: at}}})
		c.checkDocs(kept, store.DocQuery{Owner: "acme", Space: "space", Limit: 10}, "documents that expire later or never, or are sealed, stay")
		require.Len(c, c.docs(store.DocQuery{Owner: "acme", Space: "space2", Limit: 10}), 1, "a document of another space stays")
		require.Len(c, c.docs(store.DocQuery{Owner: "acme/web", Space: "space", Limit: 10}), 1, "another owner's document stays")
		c.apply(store.Change{
			Docs:       []store.DocChange{{New: expiring("acme", "space", "new", at.Add(-time.Hour))}},
			ExpireDocs: []store.DocExpiry{{Owner: "acme", Space: "space", Before: at}},
		})
		c.checkDocs(kept, store.DocQuery{Owner: "acme", Space: "space", Limit: 10}, "ExpireDocs comes after Docs")
	}},
	{"dropping a token removes it with its revocation", func(c *checker) {
		c.apply(store.Change{
			Issue:  []store.TokenRow{tokenRow("acme", "t1"), tokenRow("acme", "t2"), tokenRow("acme/web", "t3"), tokenRow("acme", "t4")},
			Revoke: []store.RevokedRow{revokedRow("t1"), revokedRow("t4")},
		})
		c.apply(store.Change{DropTokens: []store.TokenRef{{Scope: "acme", ID: "t1"}, {Scope: "acme", ID: "t2"}}})
		require.Nil(c, c.read(store.Query{Token: "t1"}).Token, "the token is gone")
		require.Nil(c, c.read(store.Query{Token: "t2"}).Token, "the token is gone, revoked or not")
		require.NotNil(c, c.read(store.Query{Token: "t3"}).Token, "the token of another scope stays")
		snap := c.read(store.Query{Scope: "acme", Tokens: true})
		require.Len(c, snap.Tokens, 1)
		c.same(&store.Snapshot{Path: []store.ScopeState{{Scope: "acme", Revoked: []store.RevokedRow{revokedRow("t4")}}}}, c.read(store.Query{Scope: "acme"}),
			"the scope has no longer its revocation")
		c.touch(store.Usage{Token: "t1", Time: timeOf("use")})
		c.apply(store.Change{Issue: []store.TokenRow{tokenRow("acme/web", "t1")}})
		c.sameTokens([]store.TokenRow{tokenRow("acme/web", "t1")}, []store.TokenRow{*c.read(store.Query{Token: "t1"}).Token}, "its id can be issued again, with nothing left of it")
		c.apply(store.Change{
			Revoke: []store.RevokedRow{revokedRow("t3")}, Remac: []store.TokenRow{tokenRow("acme/web", "t3")}, DropTokens: []store.TokenRef{{Scope: "acme/web", ID: "t3"}},
		})
		require.Nil(c, c.read(store.Query{Token: "t3"}).Token, "DropTokens comes after Revoke and Remac")
	}},
	{"dropping a token that is not stored fails and changes nothing", func(c *checker) {
		c.apply(store.Change{Issue: []store.TokenRow{tokenRow("acme", "t1"), tokenRow("acme/web", "t2")}})
		before := c.everything([]string{"acme", "acme/web"}, nil, []string{"t1", "t2"})
		for why, refs := range map[string][]store.TokenRef{
			"there is no such token":        {{Scope: "acme", ID: "t3"}},
			"it belongs to another scope":   {{Scope: "acme", ID: "t2"}},
			"it was dropped by the change":  {{Scope: "acme", ID: "t1"}},
			"ids are compared byte by byte": {{Scope: "acme", ID: "T1"}},
		} {
			err := c.s.Apply(c.Context(), &store.Change{DropTokens: append([]store.TokenRef{{Scope: "acme", ID: "t1"}}, refs...)})
			require.Error(c, err, why)
			require.NotErrorIs(c, err, store.ErrConflict, "retrying after a conflict would not help")
			require.Equal(c, before, c.everything([]string{"acme", "acme/web"}, nil, []string{"t1", "t2"}), "%s, but the rest of the change was applied", why)
		}
	}},
	{"Scopes returns the scopes of a tenant with a row of any kind, in byte order", func(c *checker) {
		scopes := func(tenant string) []string {
			c.Helper()
			got, err := c.s.Scopes(c.Context(), tenant)
			require.NoError(c, err, "reading the scopes of %s", tenant)
			return append([]string{}, got...)
		}
		require.Empty(c, scopes("acme"), "an empty store has no scopes")
		c.apply(store.Change{
			Keys:   []store.KeyChange{{Tenant: "acme", New: keyRecord("acme", "first", 1)}},
			Append: entriesOf("acme", 1, 1),
		})
		require.Empty(c, scopes("acme"), "key records and audit entries belong to the tenant")
		c.apply(store.Change{
			Seals:  []store.SealChange{{Scope: "acme/b", New: sealOf("acme/b", 1)}},
			Insert: []store.SecretRow{secretRow("acme/c", "NAME", 1), secretRow("acme/d", "NAME", 1)},
			Delete: []store.NameRef{{Scope: "acme/d", Name: "NAME"}},
			Issue:  []store.TokenRow{tokenRow("acme/e/f", "t1")},
			Mint:   []store.MintChange{mintChange("acme/a_", "github", 0, 1)},
			Docs:   []store.DocChange{{New: docRow("acme/a0", "space", "key", 1)}, {New: sealedDoc(store.Platform, "space", "key", 1)}},
		})
		want := []string{"acme/a0", "acme/a_", "acme/b", "acme/c", "acme/d", "acme/e/f"}
		require.Equal(c, want, scopes("acme"), "a seal, a version, the number of a deleted name, a token, a minted row and a document each make a scope, and no ancestor")
		require.Equal(c, []string{store.Platform}, scopes(store.Platform))
		for i, scope := range []string{"acme", "acme-2", "acme-2/x", "acme0", "acme_", "acme_/x", "ac", "acmex/y"} {
			c.apply(fillScope(scope, fmt.Sprint("other", i)))
		}
		c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme/b", "NAME", 1)}, Issue: []store.TokenRow{tokenRow("acme/b", "t2")}})
		require.Equal(c, append([]string{"acme"}, want...), scopes("acme"), "each scope once, and none of a tenant with a similar name")
		require.Equal(c, []string{"acme-2", "acme-2/x"}, scopes("acme-2"))
		require.Empty(c, scopes("acme/b"), "a scope is not a tenant")
		c.apply(store.Change{DropTokens: []store.TokenRef{{Scope: "acme/e/f", ID: "t1"}}, Docs: []store.DocChange{docChange("acme/a0", "space", "key", 1, 0)}, Mint: []store.MintChange{mintChange("acme/a_", "github", 1, 0)}})
		require.Equal(c, []string{"acme", "acme/b", "acme/c", "acme/d"}, scopes("acme"), "a scope without rows is gone")
	}},
	{"of concurrent changes to a document, one wins", func(c *checker) {
		const writers = 6
		for round := range 10 {
			winner := c.race(writers, func(i int) *store.Change {
				doc := docRow("acme", "space", "key", int64(round+1))
				doc.Body = fmt.Append(nil, i)
				return &store.Change{Docs: []store.DocChange{{Old: int64(round), New: doc}, docChange("acme", fmt.Sprint("by", i), "key", 0, int64(round+1))}}
			})
			docs := c.docs(store.DocQuery{Owner: "acme", Space: "space", Limit: 10})
			require.Len(c, docs, 1)
			require.Equal(c, fmt.Sprint(winner), string(docs[0].Body), "the document is the winner's")
			c.apply(store.Change{Docs: []store.DocChange{docChange("acme", fmt.Sprint("by", winner), "key", int64(round+1), 0)}})
			for i := range writers {
				require.Empty(c, c.docs(store.DocQuery{Owner: "acme", Space: fmt.Sprint("by", i), Limit: 10}), "only the winner's changes are stored")
			}
		}
	}},
	{"documents change together with the rest of a change", func(c *checker) {
		c.putDocs(docRow("acme", "space", "key", 1), docRow("acme", "space", "other", 1))
		good := func() *store.Change {
			return &store.Change{
				Seals:      []store.SealChange{{Scope: "acme", New: sealOf("acme", 1)}},
				Issue:      []store.TokenRow{tokenRow("acme", "t1")},
				Docs:       []store.DocChange{docChange("acme", "space", "key", 1, 2), docChange("acme", "space", "other", 1, 0), docChange("acme", "space", "new", 0, 1)},
				ExpireDocs: []store.DocExpiry{{Owner: "acme", Space: "space", Before: timeOf("expires").Add(time.Hour)}},
			}
		}
		before := c.everything([]string{"acme"}, nil, []string{"t1"})
		for why, spoil := range map[string]func(*store.Change){
			"a document to replace has another version": func(ch *store.Change) { ch.Docs = append(ch.Docs, docChange("acme", "space", "key", 1, 3)) },
			"a document to insert exists":               func(ch *store.Change) { ch.Docs = append(ch.Docs, docChange("acme", "space", "new", 0, 2)) },
			"a document to remove is missing":           func(ch *store.Change) { ch.Docs = append(ch.Docs, docChange("acme", "space", "none", 1, 0)) },
			"a seal to replace differs": func(ch *store.Change) {
				ch.Seals = append(ch.Seals, store.SealChange{Scope: "acme", Old: sealOf("acme", 7), New: sealOf("acme", 8)})
			},
			"a conflict takes precedence over a missing token": func(ch *store.Change) {
				ch.DropTokens = []store.TokenRef{{Scope: "acme", ID: "none"}}
				ch.Docs = append(ch.Docs, docChange("acme", "space", "none", 1, 2))
			},
		} {
			change := good()
			spoil(change)
			c.refuse(*change, why)
			require.Equal(c, before, c.everything([]string{"acme"}, nil, []string{"t1"}), "a part of the change was applied, although %s", why)
		}
		change := good()
		change.DropTokens = []store.TokenRef{{Scope: "acme", ID: "none"}}
		require.Error(c, c.s.Apply(c.Context(), change), "a token to drop is missing")
		require.Equal(c, before, c.everything([]string{"acme"}, nil, []string{"t1"}), "a part of the change was applied, although a token to drop is missing")
		change = good()
		change.ExpireDocs = nil
		c.apply(*change)
		c.checkDocs([]store.Doc{docRow("acme", "space", "key", 2), docRow("acme", "space", "new", 1)}, store.DocQuery{Owner: "acme", Space: "space", Limit: 10}, "the change without the fault is applied")
	}},
}
