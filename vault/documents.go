package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// A space is a kind of documents. Documents are whatever is neither a secret nor a token.
type space struct {
	// sealed means that the seal of the owner's scope covers the documents. Without it,
	// an attacker with the database can remove a document, or restore an earlier version.
	sealed bool
	// secret means that the bodies are encrypted.
	secret bool
}

// spaces are all spaces, by name.
var spaces = map[string]space{
	spaceTokens:         {sealed: true},
	spaceAdministrators: {sealed: true},
}

// spaceTokens has one document, keyGeneration, whose version is the token generation of
// its scope.
const (
	spaceTokens   = "tokens"
	keyGeneration = "generation"
)

// document is the content of a document. Its body is plaintext.
type document struct {
	key     string
	version int64 // 0 before the document is stored
	expires time.Time
	body    []byte
}

// checkDocument checks a document before it is stored.
func checkDocument(d *document) error {
	if d.key == "" {
		return fmt.Errorf("%w: the key of a document is empty", ErrInvalid)
	}
	if err := checkText("the key of a document", d.key, maxDocKey); err != nil {
		return err
	}
	if len(d.body) > maxDocBody {
		return fmt.Errorf("%w: the document %s has %d bytes; at most %d are allowed", ErrInvalid, clip(d.key), len(d.body), maxDocBody)
	}
	return checkTime("the expiry of a document", d.expires)
}

// document returns a document of a sealed space in the scope of st, and whether there is
// one.
func (st *state) document(ctx context.Context, in, key string) (document, bool, error) {
	for _, row := range st.scope().Docs {
		if row.Space == in && row.Key == key {
			d, err := st.openDoc(ctx, row)
			return d, err == nil, err
		}
	}
	return document{}, false, nil
}

// documents returns the documents of a sealed space in the scope of st, in byte order of
// their keys.
func (st *state) documents(ctx context.Context, in string) ([]document, error) {
	var docs []document
	for _, row := range st.scope().Docs {
		if row.Space != in {
			continue
		}
		d, err := st.openDoc(ctx, row)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// put adds to p the change that stores d in a sealed space of the scope of st, as the
// next version of the document. The caller adds the audit entry with record.
func (p *plan) put(st *state, w write, in string, d document) error {
	d.version = 1 + st.docVersion(in, d.key)
	row, err := sealDoc(st.scope().Scope, in, d, w.key)
	if err != nil {
		return err
	}
	p.Docs = append(p.Docs, store.DocChange{Old: d.version - 1, New: row})
	return nil
}

// remove adds to p the change that removes a document from a sealed space of the scope of
// st. The caller adds the audit entry with record.
func (p *plan) remove(st *state, in, key string) {
	if version := st.docVersion(in, key); version > 0 {
		p.Docs = append(p.Docs, store.DocChange{Old: version, New: store.Doc{Owner: st.scope().Scope, Space: in, Key: key, Sealed: true}})
	}
}

// docVersion returns the version of a sealed document in the scope of st, or 0 if there
// is none.
func (st *state) docVersion(in, key string) int64 {
	for _, row := range st.scope().Docs {
		if row.Space == in && row.Key == key {
			return row.Version
		}
	}
	return 0
}

// record adds an audit entry to p. commit sets its time, actor and scope.
func (p *plan) record(e audit.Entry) { p.records = append(p.records, e) }

// applyDocs applies changes to the documents of s, as the store will.
func applyDocs(s *store.ScopeState, changes []store.DocChange) {
	for _, c := range changes {
		s.Docs = slices.DeleteFunc(s.Docs, func(d store.Doc) bool { return d.Space == c.New.Space && d.Key == c.New.Key })
		if c.New.Version != 0 {
			s.Docs = append(s.Docs, c.New)
		}
	}
}

// Documents of spaces that are not sealed change all the time: writing one writes neither
// a seal nor an audit entry. The state passed to the methods below is one of the owner's
// scope, for its data keys.

// readOwner returns the verified state of an owner, which has a data key: the first one is
// created if there is none. The caller closes the state.
func (v *Vault) readOwner(ctx context.Context, owner string) (*state, error) {
	for {
		st, err := v.read(ctx, store.Query{Scope: owner})
		if err != nil || len(st.Keys) > 0 {
			return st, err
		}
		st.close()
		if err := v.addKey(ctx, store.Tenant(owner), true); err != nil {
			return nil, err
		}
	}
}

// looseDoc returns a document of a space that is not sealed, and whether there is one.
func (v *Vault) looseDoc(ctx context.Context, st *state, in, key string) (document, bool, error) {
	docs, err := v.readLoose(ctx, st, store.DocQuery{Space: in, Key: key})
	if err != nil || len(docs) == 0 {
		return document{}, false, err
	}
	return docs[0], true, nil
}

// looseDocs returns up to limit documents of a space that is not sealed, in byte order of
// their keys: those with keys above after.
func (v *Vault) looseDocs(ctx context.Context, st *state, in, after string, limit int) ([]document, error) {
	return v.readLoose(ctx, st, store.DocQuery{Space: in, After: after, Limit: limit})
}

func (v *Vault) readLoose(ctx context.Context, st *state, q store.DocQuery) ([]document, error) {
	rows, err := v.looseRows(ctx, st, q)
	if err != nil {
		return nil, err
	}
	var docs []document
	for _, row := range rows {
		d, err := st.openDoc(ctx, row)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// looseRows returns the rows for q, with the scope of st as their owner. The caller
// verifies them.
func (v *Vault) looseRows(ctx context.Context, st *state, q store.DocQuery) ([]store.Doc, error) {
	q.Owner = st.scope().Scope
	rows, err := v.storage.Docs(ctx, q)
	if err != nil {
		return nil, readFailed(fmt.Errorf("reading documents from storage: %w", err))
	}
	for _, row := range rows {
		if row.Owner != q.Owner || row.Space != q.Space || q.Key != "" && row.Key != q.Key {
			return nil, fmt.Errorf("%w: storage returned other documents than those of %s in %s", keyring.ErrTampered, q.Space, q.Owner)
		}
	}
	return rows, nil
}

// putLoose stores d in a space that is not sealed, as the successor of d.version. The
// error is ErrConflict if that is not the stored version, or if d.version is 0 and there
// is a document already.
func (v *Vault) putLoose(ctx context.Context, st *state, in string, d document) error {
	key, err := st.newestKey(ctx)
	if err != nil {
		return err
	}
	d.version++
	row, err := sealDoc(st.scope().Scope, in, d, key)
	if err != nil {
		return err
	}
	return v.applyLoose(ctx, store.DocChange{Old: d.version - 1, New: row})
}

// removeLoose removes a document from a space that is not sealed. The error is
// ErrConflict if version is not the stored one.
func (v *Vault) removeLoose(ctx context.Context, st *state, in, key string, version int64) error {
	return v.applyLoose(ctx, store.DocChange{Old: version, New: store.Doc{Owner: st.scope().Scope, Space: in, Key: key}})
}

func (v *Vault) applyLoose(ctx context.Context, changes ...store.DocChange) error {
	err := v.storage.Apply(ctx, &store.Change{Docs: changes})
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: the document has changed", ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("storing a document: %w", err)
	}
	return nil
}

// expireLoose removes the documents of a space that expired before t.
func (v *Vault) expireLoose(ctx context.Context, owner, in string, t time.Time) error {
	err := v.storage.Apply(ctx, &store.Change{ExpireDocs: []store.DocExpiry{{Owner: owner, Space: in, Before: t}}})
	if err != nil {
		return fmt.Errorf("removing expired documents: %w", err)
	}
	return nil
}

// docsAtATime is the number of documents that one read returns.
const docsAtATime = 200

// eachLoose calls do with the rows of each space that is not sealed in the scope of st, a
// page at a time.
func (v *Vault) eachLoose(ctx context.Context, st *state, do func([]store.Doc) error) error {
	for name, in := range spaces {
		if in.sealed {
			continue
		}
		for after, more := "", true; more; {
			rows, err := v.looseRows(ctx, st, store.DocQuery{Space: name, After: after, Limit: docsAtATime})
			if err == nil && len(rows) > 0 {
				err = do(rows)
				after = rows[len(rows)-1].Key
			}
			if err != nil {
				return err
			}
			more = len(rows) == docsAtATime
		}
	}
	return nil
}

// moveLooseOf moves the documents of a tenant that no seal covers to its newest data key.
func (v *Vault) moveLooseOf(ctx context.Context, tenant string) error {
	if !hasLoose() {
		return nil
	}
	owners, err := v.storage.Scopes(ctx, tenant)
	if err != nil {
		return fmt.Errorf("listing scopes: %w", err)
	}
	var failures []error
	for _, owner := range owners {
		if err := v.moveLoose(ctx, owner); err != nil {
			failures = append(failures, fmt.Errorf("documents of %s: %w", owner, err))
			if !isLocal(err) {
				break
			}
		}
	}
	return errors.Join(failures...)
}

// hasLoose reports whether there is a space that is not sealed.
func hasLoose() bool {
	for _, in := range spaces {
		if !in.sealed {
			return true
		}
	}
	return false
}

// moveLoose moves the documents of an owner that no seal covers to the newest data key.
func (v *Vault) moveLoose(ctx context.Context, owner string) error {
	st, err := v.read(ctx, store.Query{Scope: owner})
	if err != nil {
		return err
	}
	defer st.close()
	key, err := st.newestKey(ctx)
	if err != nil {
		return err
	}
	return v.eachLoose(ctx, st, func(rows []store.Doc) error {
		for _, row := range rows {
			next, err := st.moveDoc(ctx, row, key)
			if err == nil && next.KeyID != row.KeyID {
				err = v.applyLoose(ctx, store.DocChange{Old: row.Version, New: next})
			}
			// After a conflict, another process has written the document under the
			// newest key, or removed it.
			if err != nil && !errors.Is(err, ErrConflict) {
				return err
			}
		}
		return nil
	})
}

// generation returns the token generation of the scope of st: every token of the scope
// that may be used has exactly this one. It rises when revoked tokens are dropped.
func (st *state) generation(ctx context.Context) (int64, error) {
	d, ok, err := st.document(ctx, spaceTokens, keyGeneration)
	if err == nil && ok && (len(d.body) > 0 || !d.expires.IsZero()) {
		err = fmt.Errorf("%w: the token generation of scope %s has other contents", keyring.ErrTampered, st.scope().Scope)
	}
	return d.version, err
}
