package memstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/satchelhq/satchel/vault/store"
)

// Docs implements [store.Store].
func (s *Store) Docs(ctx context.Context, q store.DocQuery) ([]store.Doc, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sc := s.current.Load().scopes[q.Owner]
	if sc == nil {
		return nil, nil
	}
	docs := sc.docs[q.Space]
	i, found := findDoc(docs, cmp.Or(q.Key, q.After))
	switch {
	case q.Key != "" && !found:
		return nil, nil
	case q.Key != "":
		docs = docs[i : i+1]
	default:
		if found {
			i++
		}
		docs = docs[i:min(i+max(q.Limit, 0), len(docs))]
	}
	var out []store.Doc
	for _, doc := range docs {
		out = append(out, ownDoc(doc))
	}
	return out, nil
}

// findDoc returns the index of the document with the given key in docs, or the index to
// insert it at.
func findDoc(docs []store.Doc, key string) (int, bool) {
	return slices.BinarySearchFunc(docs, key, func(d store.Doc, key string) int { return cmp.Compare(d.Key, key) })
}

// ownDoc returns a copy of doc that shares no memory with it.
func ownDoc(doc store.Doc) store.Doc {
	doc.Body = bytes.Clone(doc.Body)
	return doc
}

func (d *draft) putDoc(c store.DocChange) error {
	s := d.scope(c.New.Owner)
	docs := s.docs[c.New.Space]
	i, found := findDoc(docs, c.New.Key)
	if found != (c.Old != 0) || found && docs[i].Version != c.Old {
		return store.ErrConflict
	}
	doc := ownDoc(c.New)
	doc.Expires = micro(doc.Expires)
	switch {
	case c.New.Version == 0 && !found:
	case c.New.Version == 0:
		s.setDocs(c.New.Space, slices.Delete(slices.Clone(docs), i, i+1))
	case found:
		docs = slices.Clone(docs)
		docs[i] = doc
		s.setDocs(c.New.Space, docs)
	default:
		s.setDocs(c.New.Space, slices.Insert(slices.Clone(docs), i, doc))
	}
	return nil
}

// setDocs replaces the documents of a space. s is writable.
func (s *scope) setDocs(space string, docs []store.Doc) {
	if len(docs) == 0 {
		delete(s.docs, space)
		return
	}
	s.docs[space] = docs
}

func (d *draft) expireDocs(e store.DocExpiry) {
	if sc := d.scopes[e.Owner]; sc == nil || len(sc.docs[e.Space]) == 0 {
		return
	}
	before := time.UnixMicro(e.Before.UnixMicro())
	s := d.scope(e.Owner)
	s.setDocs(e.Space, slices.DeleteFunc(slices.Clone(s.docs[e.Space]), func(doc store.Doc) bool {
		return !doc.Sealed && !doc.Expires.IsZero() && doc.Expires.Before(before)
	}))
}
