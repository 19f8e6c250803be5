package storetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// docOf returns the stored document that doc would replace.
func docOf(ctx context.Context, s store.Store, doc store.Doc) store.Doc {
	docs, err := s.Docs(ctx, store.DocQuery{Owner: doc.Owner, Space: doc.Space, Key: doc.Key})
	if err != nil || len(docs) == 0 {
		return store.Doc{}
	}
	return docs[0]
}

func init() { maps.Copy(brokenStores, brokenDocStores) }

// brokenDocStores has a store that breaks each rule about documents and dropped tokens,
// by the name of the rule.
var brokenDocStores = map[string]func() store.Store{
	"documents are returned as they were stored": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for i := range c.Docs {
			c.Docs[i].New.Key = strings.TrimSpace(c.Docs[i].New.Key)
		}
	}),
	"sealed documents are returned with the state of their scope": reading(func(_ store.Query, snap *store.Snapshot) {
		for i := range snap.Path {
			slices.SortFunc(snap.Path[i].Docs, func(x, y store.Doc) int { return strings.Compare(x.Space+x.Key, y.Space+y.Key) })
		}
	}),
	"Docs returns the documents of a space, in byte order of their keys": func() store.Store {
		return &faulty{Store: memstore.New(), docs: func(ctx context.Context, s store.Store, q store.DocQuery) ([]store.Doc, error) {
			docs, err := s.Docs(ctx, q)
			if len(docs) > 3 && q.After == "" {
				docs = docs[1:] // as if the first page began after an empty row
			}
			return docs, err
		}}
	},
	"a document is replaced only if its version is the expected one": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		for i, d := range c.Docs {
			if d.Old != 0 {
				c.Docs[i].Old = docOf(ctx, s, d.New).Version // an upsert
			}
		}
	}),
	"expired documents are removed on request": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for i := range c.ExpireDocs {
			c.ExpireDocs[i].Before = c.ExpireDocs[i].Before.Add(time.Microsecond) // <= instead of <
		}
	}),
	"dropping a token removes it with its revocation": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		c.DropTokens = slices.DeleteFunc(c.DropTokens, func(ref store.TokenRef) bool { return ref.ID == "t2" }) // a token that is not revoked stays
	}),
	"dropping a token that is not stored fails and changes nothing": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		c.DropTokens = slices.DeleteFunc(c.DropTokens, func(ref store.TokenRef) bool { return !issued(ctx, s, ref.ID) })
	}),
	"Scopes returns the scopes of a tenant with a row of any kind, in byte order": func() store.Store {
		return &faulty{Store: memstore.New(), scopes: func(ctx context.Context, s store.Store, tenant string) ([]string, error) {
			scopes, err := s.Scopes(ctx, tenant)
			return slices.DeleteFunc(scopes, func(scope string) bool { return storedSeal(ctx, s, scope) == nil }), err
		}}
	},
	"of concurrent changes to a document, one wins": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		for i, d := range c.Docs {
			c.Docs[i].Old = docOf(ctx, s, d.New).Version
		}
	}),
	"documents change together with the rest of a change": func() store.Store { return &faulty{Store: memstore.New(), apply: inSteps} },
}
