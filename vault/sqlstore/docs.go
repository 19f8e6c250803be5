package sqlstore

import (
	"context"
	"fmt"

	"github.com/satchelhq/satchel/vault/store"
)

// Docs implements [store.Store].
func (s *Store) Docs(ctx context.Context, q store.DocQuery) ([]store.Doc, error) {
	where, args := "WHERE owner = ? AND space = ? AND key > ? ORDER BY key LIMIT ?", []any{q.Owner, q.Space, q.After, int64(max(q.Limit, 0))}
	if q.Key != "" {
		where, args = "WHERE owner = ? AND space = ? AND key = ?", []any{q.Owner, q.Space, q.Key}
	}
	var docs []store.Doc
	err := s.inTx(ctx, s.dialect.beginRead, func(x *tx) (err error) {
		docs, err = x.docs(ctx, where, args...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return docs, nil
}

// docs returns the documents selected by where.
func (x *tx) docs(ctx context.Context, where string, args ...any) ([]store.Doc, error) {
	var docs []store.Doc
	err := x.query(ctx, "reading docs", "SELECT owner, space, key, version, expires, sealed, body, key_id, mac FROM [docs] "+where, args, func(scan func(...any) error) error {
		var d store.Doc
		err := scan(&d.Owner, &d.Space, &d.Key, (*integer)(&d.Version), (*instant)(&d.Expires), (*flag)(&d.Sealed), &d.Body, fixed(d.KeyID[:]), fixed(d.MAC[:]))
		docs = append(docs, d)
		return err
	})
	return docs, err
}

// readDocs reads the sealed documents of a path.
func (x *tx) readDocs(ctx context.Context, p *path) error {
	docs, err := x.docs(ctx, "WHERE sealed <> 0 AND owner"+p.in+" ORDER BY owner, space, key", p.args...)
	for _, d := range docs {
		st := p.state(d.Owner)
		st.Docs = append(st.Docs, d)
	}
	return err
}

func (x *tx) putDoc(ctx context.Context, c store.DocChange) error {
	d := c.New
	switch {
	case c.Old == 0 && d.Version == 0:
		var found int64
		err := x.query(ctx, "reading docs", "SELECT count(*) FROM [docs] WHERE owner = ? AND space = ? AND key = ?", []any{d.Owner, d.Space, d.Key},
			func(scan func(...any) error) error { return scan((*integer)(&found)) })
		if err == nil && found > 0 {
			err = fmt.Errorf("reading docs: %w", store.ErrConflict)
		}
		return err
	case c.Old == 0:
		return x.expect(ctx, "inserting into docs", `INSERT INTO [docs] (owner, space, key, version, expires, sealed, body, key_id, mac)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			d.Owner, d.Space, d.Key, d.Version, micros(d.Expires), bit(d.Sealed), blob(d.Body), d.KeyID[:], d.MAC[:])
	case d.Version == 0:
		return x.expect(ctx, "deleting from docs", "DELETE FROM [docs] WHERE owner = ? AND space = ? AND key = ? AND version = ?",
			d.Owner, d.Space, d.Key, c.Old)
	}
	return x.expect(ctx, "updating docs", `UPDATE [docs] SET version = ?, expires = ?, sealed = ?, body = ?, key_id = ?, mac = ?
		WHERE owner = ? AND space = ? AND key = ? AND version = ?`,
		d.Version, micros(d.Expires), bit(d.Sealed), blob(d.Body), d.KeyID[:], d.MAC[:], d.Owner, d.Space, d.Key, c.Old)
}

func (x *tx) expireDocs(ctx context.Context, e store.DocExpiry) error {
	_, err := x.exec(ctx, "deleting from docs", "DELETE FROM [docs] WHERE owner = ? AND space = ? AND sealed = 0 AND expires <> 0 AND expires < ?",
		e.Owner, e.Space, micros(e.Before))
	return err
}
