package vault

import (
	"context"
	"time"

	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// Spaces for tests.
const (
	SpaceSealed      = "test-sealed"
	SpaceSecret      = "test-secret"
	SpaceLoose       = "test-loose"
	SpaceLooseSecret = "test-loose-secret"
)

func init() {
	spaces[SpaceSealed] = space{sealed: true}
	spaces[SpaceSecret] = space{sealed: true, secret: true}
	spaces[SpaceLoose] = space{}
	spaces[SpaceLooseSecret] = space{secret: true}
}

// Document is a document of a test.
type Document struct {
	Key     string
	Version int64
	Expires time.Time
	Body    string
}

func exported(docs []document) []Document {
	var out []Document
	for _, d := range docs {
		out = append(out, Document{d.key, d.version, d.expires, string(d.body)})
	}
	return out
}

// PutDocument stores a document of a sealed space.
func PutDocument(ctx context.Context, v *Vault, owner, space string, d Document) error {
	_, err := update(ctx, v, store.Query{Scope: owner}, func(_ context.Context, st *state, w write) (*plan, struct{}, error) {
		p := &plan{}
		p.record(audit.Entry{Action: "test.put", Name: d.Key})
		return p, struct{}{}, p.put(st, w, space, document{key: d.Key, expires: d.Expires, body: []byte(d.Body)})
	})
	return err
}

// RemoveDocument removes a document of a sealed space.
func RemoveDocument(ctx context.Context, v *Vault, owner, space, key string) error {
	_, err := update(ctx, v, store.Query{Scope: owner}, func(_ context.Context, st *state, _ write) (*plan, struct{}, error) {
		p := &plan{}
		p.record(audit.Entry{Action: "test.remove", Name: key})
		p.remove(st, space, key)
		return p, struct{}{}, nil
	})
	return err
}

// Documents returns the documents of a sealed space.
func Documents(ctx context.Context, v *Vault, owner, space string) ([]Document, error) {
	st, err := v.read(ctx, store.Query{Scope: owner})
	if err != nil {
		return nil, v.logRefusal(ctx, err)
	}
	defer st.close()
	docs, err := st.documents(ctx, space)
	return exported(docs), v.logRefusal(ctx, err)
}

// PutLoose stores the successor of d.Version, in a space that is not sealed.
func PutLoose(ctx context.Context, v *Vault, owner, space string, d Document) error {
	st, err := v.readOwner(ctx, owner)
	if err != nil {
		return err
	}
	defer st.close()
	return v.putLoose(ctx, st, space, document{key: d.Key, version: d.Version, expires: d.Expires, body: []byte(d.Body)})
}

// RemoveLoose removes a document of a space that is not sealed.
func RemoveLoose(ctx context.Context, v *Vault, owner, space, key string, version int64) error {
	st, err := v.readOwner(ctx, owner)
	if err != nil {
		return err
	}
	defer st.close()
	return v.removeLoose(ctx, st, space, key, version)
}

// Loose returns a document of a space that is not sealed.
func Loose(ctx context.Context, v *Vault, owner, space, key string) (Document, bool, error) {
	st, err := v.read(ctx, store.Query{Scope: owner})
	if err != nil {
		return Document{}, false, v.logRefusal(ctx, err)
	}
	defer st.close()
	d, ok, err := v.looseDoc(ctx, st, space, key)
	return Document{d.key, d.version, d.expires, string(d.body)}, ok, v.logRefusal(ctx, err)
}

// LoosePage returns documents of a space that is not sealed.
func LoosePage(ctx context.Context, v *Vault, owner, space, after string, limit int) ([]Document, error) {
	st, err := v.read(ctx, store.Query{Scope: owner})
	if err != nil {
		return nil, v.logRefusal(ctx, err)
	}
	defer st.close()
	docs, err := v.looseDocs(ctx, st, space, after, limit)
	return exported(docs), v.logRefusal(ctx, err)
}

// ExpireLoose removes documents that expired before t.
func ExpireLoose(ctx context.Context, v *Vault, owner, space string, t time.Time) error {
	return v.expireLoose(ctx, owner, space, t)
}

// Collect adds uses to v and returns the number of pending uses.
func Collect(v *Vault, used []store.Usage) int {
	v.uses.add(used)
	return len(v.uses.pending)
}

// Waiting returns the number of waiting requests.
func Waiting(v *Vault) int {
	v.watch.mu.Lock()
	defer v.watch.mu.Unlock()
	seats := map[*seat]struct{}{}
	for _, places := range v.watch.seats {
		for s := range places {
			seats[s] = struct{}{}
		}
	}
	return len(seats)
}
