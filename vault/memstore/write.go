package memstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// Apply implements [store.Store].
func (s *Store) Apply(ctx context.Context, c *store.Change) error {
	return s.write(ctx, func(d *draft) error {
		d.newest++
		return d.apply(c)
	})
}

// Touch implements [store.Store].
func (s *Store) Touch(ctx context.Context, uses []store.Usage) error {
	return s.write(ctx, func(d *draft) error {
		for _, use := range uses {
			d.touch(use)
		}
		return nil
	})
}

// write calls change with a draft and makes it the current state, unless change fails.
func (s *Store) write(ctx context.Context, change func(*draft) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	d := newDraft(s.current.Load())
	if err := change(d); err != nil {
		return err
	}
	s.current.Store(d.state)
	return nil
}

// draft is the next state. It has copies of the maps of state, and copies each scope
// and secret before the first write to it, so that readers of the current state do not
// see the draft.
type draft struct {
	*state
	own    map[*scope]bool  // the scopes that were copied
	starts map[string]int64 // the number before the first entry of an empty audit chain, by tenant
}

func newDraft(st *state) *draft {
	next := *st
	next.keys = own(st.keys)
	next.audit = own(st.audit)
	next.scopes = own(st.scopes)
	next.homes = own(st.homes)
	return &draft{state: &next, own: map[*scope]bool{}, starts: map[string]int64{}}
}

// own returns a writable copy of m.
func own[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// scope returns a writable scope, which it creates if necessary.
func (d *draft) scope(name string) *scope {
	old := d.scopes[name]
	if old == nil {
		old = &scope{}
	}
	if d.own[old] {
		return old
	}
	next := &scope{seal: old.seal, changed: old.changed, secrets: own(old.secrets), tokens: own(old.tokens), minted: own(old.minted), docs: own(old.docs)}
	d.scopes[name] = next
	d.own[next] = true
	return next
}

// stored reports whether a name ever had a version.
func (d *draft) stored(scope, name string) bool {
	s := d.scopes[scope]
	return s != nil && s.secrets[name] != nil
}

// secret returns a writable secret, which it creates if necessary.
func (d *draft) secret(scope, name string) *secret {
	s := d.scope(scope)
	next := &secret{}
	if old := s.secrets[name]; old != nil {
		*next = *old
		next.versions = slices.Clone(old.versions)
	}
	s.secrets[name] = next
	return next
}

// apply applies c: first the parts that can conflict, then the others, each in the
// order of the fields. The order of these groups does not matter otherwise, because
// they write different rows and columns.
func (d *draft) apply(c *store.Change) error {
	if err := d.applyExpected(c); err != nil {
		return err
	}
	for _, ref := range c.Activate {
		sec := d.secret(ref.Scope, ref.Name)
		if _, ok := sec.find(ref.Version); !ok {
			return fmt.Errorf("activating a version: %w", errNotStored)
		}
		sec.active = ref.Version
	}
	for _, ref := range c.Prune {
		if !d.stored(ref.Scope, ref.Name) {
			continue
		}
		sec := d.secret(ref.Scope, ref.Name)
		sec.versions = slices.DeleteFunc(sec.versions, func(r store.SecretRow) bool {
			return r.Version < ref.Version && r.Version != sec.active
		})
	}
	for _, ref := range c.Delete {
		if d.stored(ref.Scope, ref.Name) {
			d.scope(ref.Scope).secrets[ref.Name] = &secret{last: d.secret(ref.Scope, ref.Name).last}
		}
	}
	for _, r := range c.Revoke {
		err := d.token(r.ID, func(row *store.TokenRow) { row.Revoked, row.RevokedBy = micro(r.Revoked), r.RevokedBy })
		if err != nil {
			return fmt.Errorf("revoking a token: %w", err)
		}
	}
	for _, row := range c.Reseal {
		if err := d.reseal(row); err != nil {
			return fmt.Errorf("resealing a version: %w", err)
		}
	}
	for _, r := range c.Remac {
		err := d.token(r.ID, func(row *store.TokenRow) {
			row.Generation, row.KeyID, row.MAC = r.Generation, r.KeyID, r.MAC
		})
		if err != nil {
			return fmt.Errorf("writing the MAC of a token: %w", err)
		}
	}
	for _, ref := range c.DropTokens {
		if home, ok := d.homes[ref.ID]; !ok || home != ref.Scope {
			return fmt.Errorf("dropping a token: %w", errNotStored)
		}
		delete(d.scope(ref.Scope).tokens, ref.ID)
		delete(d.homes, ref.ID)
	}
	for _, e := range c.ExpireDocs {
		d.expireDocs(e)
	}
	for _, ref := range c.DropAudit {
		d.dropAudit(ref)
	}
	return nil
}

// applyExpected applies the parts of c that have expectations.
func (d *draft) applyExpected(c *store.Change) error {
	for _, k := range c.Keys {
		if err := d.putKey(k); err != nil {
			return fmt.Errorf("writing a data key: %w", err)
		}
	}
	for _, seal := range c.Seals {
		s := d.scope(seal.Scope)
		if (seal.Old == nil) != (s.seal == nil) || !bytes.Equal(seal.Old, s.seal) {
			return fmt.Errorf("replacing a seal: %w", store.ErrConflict)
		}
		s.seal = append([]byte{}, seal.New...)
		s.changed = d.newest
	}
	for _, row := range c.Insert {
		if err := d.insert(row); err != nil {
			return fmt.Errorf("inserting a version: %w", err)
		}
	}
	for _, row := range c.Issue {
		if err := d.issue(row); err != nil {
			return fmt.Errorf("issuing a token: %w", err)
		}
	}
	for _, m := range c.Mint {
		if err := d.mint(m); err != nil {
			return fmt.Errorf("replacing the row of an integration: %w", err)
		}
	}
	for _, doc := range c.Docs {
		if err := d.putDoc(doc); err != nil {
			return fmt.Errorf("writing a document: %w", err)
		}
	}
	for _, ref := range c.StartAudit {
		if len(d.audit[ref.Tenant]) > 0 {
			return fmt.Errorf("starting an audit chain: %w", store.ErrConflict)
		}
		d.starts[ref.Tenant] = ref.Seq
	}
	for _, row := range c.Append {
		if err := d.append(row); err != nil {
			return fmt.Errorf("appending to an audit chain: %w", err)
		}
	}
	return nil
}

func (d *draft) putKey(k store.KeyChange) error {
	id, err := store.KeyID(k.New)
	if err != nil {
		return err
	}
	records := slices.Clone(d.keys[k.Tenant])
	i := slices.IndexFunc(records, func(r keyring.Record) bool {
		stored, _ := store.KeyID(r)
		return stored == id
	})
	switch {
	case k.Old == nil && (i >= 0 || k.First && len(records) > 0):
		return store.ErrConflict
	case k.Old == nil:
		records = append(records, bytes.Clone(k.New))
	case i < 0 || !bytes.Equal(records[i], k.Old):
		return store.ErrConflict
	default:
		records[i] = bytes.Clone(k.New)
	}
	d.keys[k.Tenant] = records
	return nil
}

func (d *draft) insert(row store.SecretRow) error {
	sec := d.secret(row.Scope, row.Name)
	i, exists := sec.find(row.Version)
	if exists {
		return store.ErrConflict
	}
	row.Message = bytes.Clone(row.Message)
	row.Preview = bytes.Clone(row.Preview)
	row.Created, row.Rotated, row.Expires = micro(row.Created), micro(row.Rotated), micro(row.Expires)
	sec.versions = slices.Insert(sec.versions, i, row)
	sec.active = row.Version
	sec.last = max(sec.last, row.Version)
	return nil
}

func (d *draft) issue(row store.TokenRow) error {
	if _, exists := d.homes[row.ID]; exists {
		return store.ErrConflict
	}
	row.Created, row.Expires, row.RotateBy = micro(row.Created), micro(row.Expires), micro(row.RotateBy)
	row.Revoked = micro(row.Revoked)
	row.LastUsed, row.LastAddr, row.LastRunner = time.Time{}, "", ""
	d.scope(row.Scope).tokens[row.ID] = row
	d.homes[row.ID] = row.Scope
	return nil
}

var errNotStored = errors.New("the row is not stored")

// token changes a stored token.
func (d *draft) token(id string, change func(*store.TokenRow)) error {
	home, ok := d.homes[id]
	if !ok {
		return errNotStored
	}
	s := d.scope(home)
	row := s.tokens[id]
	change(&row)
	s.tokens[id] = row
	return nil
}

func (d *draft) reseal(row store.SecretRow) error {
	sec := d.secret(row.Scope, row.Name)
	i, ok := sec.find(row.Version)
	if !ok {
		return errNotStored
	}
	old := &sec.versions[i]
	old.KeyID, old.Message, old.Preview, old.MAC = row.KeyID, bytes.Clone(row.Message), bytes.Clone(row.Preview), row.MAC
	return nil
}

func (d *draft) mint(m store.MintChange) error {
	s := d.scope(m.New.Scope)
	if s.minted[m.New.Integration].Identity != m.Old {
		return store.ErrConflict
	}
	if m.New.Identity == "" {
		delete(s.minted, m.New.Integration)
		return nil
	}
	row := m.New
	row.Message = bytes.Clone(row.Message)
	row.Minted, row.Expires = micro(row.Minted), micro(row.Expires)
	s.minted[row.Integration] = row
	return nil
}

// append adds an entry to a chain, possibly in the array that readers share: it is
// beyond the length of their slices.
func (d *draft) append(row store.AuditRow) error {
	chain := d.audit[row.Tenant]
	newest := d.starts[row.Tenant]
	if len(chain) > 0 {
		newest = chain[len(chain)-1].Seq
	}
	if row.Seq != newest+1 {
		return store.ErrConflict
	}
	d.audit[row.Tenant] = append(chain, ownEntry(row))
	return nil
}

func (d *draft) dropAudit(ref store.AuditRef) {
	chain := d.audit[ref.Tenant]
	keep := slices.IndexFunc(chain, func(row store.AuditRow) bool { return row.Seq > ref.Seq })
	if keep < 0 {
		keep = len(chain) - 1
	}
	if keep > 0 {
		d.audit[ref.Tenant] = slices.Clone(chain[keep:])
	}
}

func (d *draft) touch(use store.Usage) {
	at := micro(use.Time)
	if use.Name == "" {
		if home, ok := d.homes[use.Token]; !ok || d.scopes[home].tokens[use.Token].LastUsed.After(at) {
			return
		}
		_ = d.token(use.Token, func(row *store.TokenRow) {
			row.LastUsed, row.LastAddr, row.LastRunner = at, use.Addr, use.Runner
		})
		return
	}
	if !d.stored(use.Scope, use.Name) {
		return
	}
	if sec := d.secret(use.Scope, use.Name); len(sec.versions) > 0 && !sec.lastUsed.After(at) {
		sec.lastUsed, sec.lastToken = at, use.Token
	}
}

// micro returns t with the precision of the contract: microseconds, in UTC.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}
