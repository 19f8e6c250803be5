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
	"github.com/satchelhq/satchel/vault"
)

// Apply implements [vault.Storage].
func (s *Store) Apply(ctx context.Context, c *vault.Change) error {
	return s.write(ctx, func(d *draft) error {
		d.newest++
		return d.apply(c)
	})
}

// Touch implements [vault.Storage].
func (s *Store) Touch(ctx context.Context, uses []vault.Use) error {
	return s.write(ctx, func(d *draft) error {
		for _, use := range uses {
			d.touch(use)
		}
		return nil
	})
}

// write makes what change drafts the current state, unless it fails.
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

// draft is the next state. It has its own copy of the maps of state, and of
// each scope and secret from the moment that it first writes to it, so that
// readers of the current state see none of it.
type draft struct {
	*state
	own map[*scope]bool
}

func newDraft(st *state) *draft {
	next := *st
	next.keys = own(st.keys)
	next.scopes = own(st.scopes)
	next.homes = own(st.homes)
	return &draft{state: &next, own: map[*scope]bool{}}
}

// own returns a copy of m that can be written to.
func own[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// scope returns a scope to write to.
func (d *draft) scope(name string) *scope {
	old := d.scopes[name]
	if old == nil {
		old = &scope{}
	}
	if d.own[old] {
		return old
	}
	next := &scope{seal: old.seal, changed: old.changed, secrets: own(old.secrets), tokens: own(old.tokens)}
	d.scopes[name] = next
	d.own[next] = true
	return next
}

// secret returns a secret to write to, whether or not it has versions.
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

// apply carries out c, in the order of its fields but for Issue, which comes
// before what may fail for another reason than a conflict.
func (d *draft) apply(c *vault.Change) error {
	for _, k := range c.Keys {
		if err := d.putKey(k); err != nil {
			return fmt.Errorf("writing a data key: %w", err)
		}
	}
	for _, seal := range c.Seals {
		s := d.scope(seal.Scope)
		if (seal.Old == nil) != (s.seal == nil) || !bytes.Equal(seal.Old, s.seal) {
			return fmt.Errorf("replacing a seal: %w", vault.ErrConflict)
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
	for _, ref := range c.Activate {
		sec := d.secret(ref.Scope, ref.Name)
		if _, ok := sec.find(ref.Version); !ok {
			return errors.New("activating a version: it is not stored")
		}
		sec.active = ref.Version
	}
	for _, ref := range c.Prune {
		sec := d.secret(ref.Scope, ref.Name)
		sec.versions = slices.DeleteFunc(sec.versions, func(r vault.SecretRow) bool {
			return r.Version < ref.Version && r.Version != sec.active
		})
	}
	for _, ref := range c.Delete {
		d.scope(ref.Scope).secrets[ref.Name] = &secret{last: d.secret(ref.Scope, ref.Name).last}
	}
	for _, r := range c.Revoke {
		home, ok := d.homes[r.ID]
		if !ok {
			return errors.New("revoking a token: it is not stored")
		}
		s := d.scope(home)
		row := s.tokens[r.ID]
		row.Revoked, row.RevokedBy = micro(r.Revoked), r.RevokedBy
		s.tokens[r.ID] = row
	}
	return nil
}

func (d *draft) putKey(k vault.KeyChange) error {
	id, err := keyID(k.New)
	if err != nil {
		return err
	}
	records := slices.Clone(d.keys[k.Tenant])
	i := slices.IndexFunc(records, func(r keyring.Record) bool {
		stored, _ := keyID(r)
		return stored == id
	})
	switch {
	case k.Old == nil && (i >= 0 || k.First && len(records) > 0):
		return vault.ErrConflict
	case k.Old == nil:
		records = append(records, bytes.Clone(k.New))
	case i < 0 || !bytes.Equal(records[i], k.Old):
		return vault.ErrConflict
	default:
		records[i] = bytes.Clone(k.New)
	}
	d.keys[k.Tenant] = records
	return nil
}

// keyID returns the key id in a record.
func keyID(r keyring.Record) ([16]byte, error) {
	if len(r) < 22 {
		return [16]byte{}, errors.New("the record is too short to have a key id")
	}
	return [16]byte(r[6:22]), nil
}

func (d *draft) insert(row vault.SecretRow) error {
	sec := d.secret(row.Scope, row.Name)
	i, exists := sec.find(row.Version)
	if exists {
		return vault.ErrConflict
	}
	row.Message = bytes.Clone(row.Message)
	row.Preview = bytes.Clone(row.Preview)
	row.Created, row.Rotated, row.Expires = micro(row.Created), micro(row.Rotated), micro(row.Expires)
	sec.versions = slices.Insert(sec.versions, i, row)
	sec.active = row.Version
	sec.last = max(sec.last, row.Version)
	return nil
}

func (d *draft) issue(row vault.TokenRow) error {
	if _, exists := d.homes[row.ID]; exists {
		return vault.ErrConflict
	}
	row.Created, row.Expires, row.RotateBy = micro(row.Created), micro(row.Expires), micro(row.RotateBy)
	row.Revoked = micro(row.Revoked)
	row.LastUsed, row.LastAddr, row.LastRunner = time.Time{}, "", ""
	d.scope(row.Scope).tokens[row.ID] = row
	d.homes[row.ID] = row.Scope
	return nil
}

func (d *draft) touch(use vault.Use) {
	at := micro(use.Time)
	if use.Name == "" {
		home, ok := d.homes[use.Token]
		if !ok || d.scopes[home].tokens[use.Token].LastUsed.After(at) {
			return
		}
		s := d.scope(home)
		row := s.tokens[use.Token]
		row.LastUsed, row.LastAddr, row.LastRunner = at, use.Addr, use.Runner
		s.tokens[use.Token] = row
		return
	}
	if s := d.scopes[use.Scope]; s == nil || s.secrets[use.Name] == nil {
		return
	}
	if sec := d.secret(use.Scope, use.Name); len(sec.versions) > 0 && !sec.lastUsed.After(at) {
		sec.lastUsed, sec.lastToken = at, use.Token
	}
}

// micro returns t as the contract has it: to the microsecond, in UTC.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}
