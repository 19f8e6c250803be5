package memstore

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// Store is a [store.Store] in memory. It is safe for concurrent use. Create one with
// [New].
type Store struct {
	writing sync.Mutex // held by the one writer; readers do not take it
	current atomic.Pointer[state]
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	s := &Store{}
	s.current.Store(&state{})
	return s
}

// state holds all rows. It is immutable once it is the current one; see draft.
type state struct {
	newest int64                       // the number of the newest change
	keys   map[string][]keyring.Record // by tenant
	audit  map[string][]store.AuditRow // by tenant, without gaps
	scopes map[string]*scope
	homes  map[string]string // the scope of each token, by token id
}

type scope struct {
	seal    []byte
	changed int64 // the number of the change that wrote seal
	secrets map[string]*secret
	tokens  map[string]store.TokenRow
	minted  map[string]store.MintedRow // by integration
	docs    map[string][]store.Doc     // by space, in byte order of their keys
}

// secret is one name of a scope. It outlives its versions, to keep last.
type secret struct {
	versions  []store.SecretRow // in ascending order
	active    int64             // ignored if that version is not stored
	last      int64
	lastUsed  time.Time
	lastToken string
}

// find returns the index of version in s.versions, or the index to insert it at.
func (s *secret) find(version int64) (int, bool) {
	return slices.BinarySearchFunc(s.versions, version, func(r store.SecretRow, v int64) int {
		return cmp.Compare(r.Version, v)
	})
}

// row returns a copy of the i-th version, for a reader to own.
func (s *secret) row(i int) store.SecretRow {
	r := s.versions[i]
	r.Message = bytes.Clone(r.Message)
	r.Preview = bytes.Clone(r.Preview)
	r.LastUsed, r.LastToken = s.lastUsed, s.lastToken
	return r
}

// Read implements [store.Store].
func (s *Store) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	st := s.current.Load()
	snap := &store.Snapshot{}
	if q.Token != "" {
		home, ok := st.homes[q.Token]
		if !ok {
			return snap, nil
		}
		row := st.scopes[home].tokens[q.Token]
		snap.Token = &row
		q.Scope = home
	}
	for _, name := range store.Path(q.Scope) {
		snap.Path = append(snap.Path, st.scopes[name].read(name, q))
	}
	if !q.SealsOnly {
		for _, record := range st.keys[store.Tenant(q.Scope)] {
			snap.Keys = append(snap.Keys, bytes.Clone(record))
		}
	}
	if sc := st.scopes[q.Scope]; sc != nil {
		if sec := sc.secrets[q.Name]; sec != nil {
			for i := range sec.versions {
				snap.Versions = append(snap.Versions, sec.row(i))
			}
			snap.Last = sec.last
		}
		if q.History {
			snap.History = sc.history()
		}
		if q.Tokens {
			snap.Tokens = slices.SortedFunc(maps.Values(sc.tokens), func(x, y store.TokenRow) int {
				return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID))
			})
		}
	}
	if q.Below {
		snap.Below = st.below(q.Scope)
	}
	if chain := st.audit[store.Tenant(q.Scope)]; q.AuditHead && len(chain) > 0 {
		head := ownEntry(chain[len(chain)-1])
		snap.AuditHead = &head
	}
	return snap, nil
}

// read returns the rows of s. s is nil if nothing was ever stored there.
func (s *scope) read(name string, q store.Query) store.ScopeState {
	out := store.ScopeState{Scope: name}
	if s == nil {
		return out
	}
	out.Seal = bytes.Clone(s.seal)
	if q.Minted {
		for _, integration := range slices.Sorted(maps.Keys(s.minted)) {
			row := s.minted[integration]
			row.Message = bytes.Clone(row.Message)
			out.Minted = append(out.Minted, row)
		}
	}
	if q.SealsOnly {
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(s.secrets)) {
		sec := s.secrets[name]
		if i, ok := sec.find(sec.active); ok {
			out.Secrets = append(out.Secrets, sec.row(i))
		}
	}
	for _, space := range slices.Sorted(maps.Keys(s.docs)) {
		for _, doc := range s.docs[space] {
			if doc.Sealed {
				out.Docs = append(out.Docs, ownDoc(doc))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.tokens)) {
		if row := s.tokens[id]; !row.Revoked.IsZero() {
			out.Revoked = append(out.Revoked, store.RevokedRow{ID: id, Revoked: row.Revoked, RevokedBy: row.RevokedBy})
		}
	}
	return out
}

// history returns all names of s with their versions.
func (s *scope) history() []store.NameHistory {
	var out []store.NameHistory
	for _, name := range slices.Sorted(maps.Keys(s.secrets)) {
		sec := s.secrets[name]
		h := store.NameHistory{Name: name, Last: sec.last}
		for i := range sec.versions {
			h.Versions = append(h.Versions, sec.row(i))
		}
		if _, ok := sec.find(sec.active); ok {
			h.Active = sec.active
		}
		out = append(out, h)
	}
	return out
}

// below returns the sealed scopes below parent.
func (st *state) below(parent string) []string {
	var below []string
	for name, s := range st.scopes {
		if strings.HasPrefix(name, parent+"/") && s.seal != nil {
			below = append(below, name)
		}
	}
	slices.Sort(below)
	return below
}

// Tenants implements [store.Store].
func (s *Store) Tenants(ctx context.Context, after string, limit int) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	st := s.current.Load()
	have := map[string]bool{}
	for tenant := range st.keys {
		have[tenant] = true
	}
	for tenant := range st.audit {
		have[tenant] = true
	}
	for name, sc := range st.scopes {
		if !sc.empty() {
			have[store.Tenant(name)] = true
		}
	}
	tenants := slices.Sorted(maps.Keys(have))
	i, found := slices.BinarySearch(tenants, after)
	if found {
		i++
	}
	return tenants[i:min(i+max(limit, 0), len(tenants))], nil
}

// Scopes implements [store.Store].
func (s *Store) Scopes(ctx context.Context, tenant string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var scopes []string
	for name, sc := range s.current.Load().scopes {
		if store.Tenant(name) == tenant && !sc.empty() {
			scopes = append(scopes, name)
		}
	}
	slices.Sort(scopes)
	return scopes, nil
}

// empty reports whether s has no row.
func (s *scope) empty() bool {
	return s.seal == nil && len(s.secrets)+len(s.tokens)+len(s.minted)+len(s.docs) == 0
}

// Audit implements [store.Store].
func (s *Store) Audit(ctx context.Context, tenant string, after int64, limit int) ([]store.AuditRow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	chain := s.current.Load().audit[tenant]
	first, found := slices.BinarySearchFunc(chain, after, func(r store.AuditRow, after int64) int {
		return cmp.Compare(r.Seq, after)
	})
	if found {
		first++
	}
	chain = chain[first:]
	var out []store.AuditRow
	for _, row := range chain[:min(max(limit, 0), len(chain))] {
		out = append(out, ownEntry(row))
	}
	return out, nil
}

// ownEntry returns a copy of row that shares no memory with it.
func ownEntry(row store.AuditRow) store.AuditRow {
	row.Entry = bytes.Clone(row.Entry)
	return row
}

// Changes implements [store.Store].
func (s *Store) Changes(ctx context.Context, since int64) (newest int64, scopes []string, err error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	st := s.current.Load()
	if st.newest <= since {
		return st.newest, nil, nil
	}
	for name, sc := range st.scopes {
		if sc.changed > since {
			scopes = append(scopes, name)
		}
	}
	return st.newest, scopes, nil
}

// Ping implements [store.Store].
func (s *Store) Ping(ctx context.Context) error { return ctx.Err() }
