package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// faulty is a correct store behind functions that break it.
type faulty struct {
	store.Store
	read    func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error)
	apply   func(ctx context.Context, s store.Store, c *store.Change) error
	touch   func(ctx context.Context, s store.Store, uses []store.Usage) error
	changes func(ctx context.Context, s store.Store, since int64) (int64, []string, error)
	tenants func(ctx context.Context, s store.Store, after string, limit int) ([]string, error)
	audit   func(ctx context.Context, s store.Store, tenant string, after int64, limit int) ([]store.AuditRow, error)
	scopes  func(ctx context.Context, s store.Store, tenant string) ([]string, error)
	docs    func(ctx context.Context, s store.Store, q store.DocQuery) ([]store.Doc, error)
	ping    func(ctx context.Context, s store.Store) error
}

func (f *faulty) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	if f.read == nil {
		return f.Store.Read(ctx, q)
	}
	return f.read(ctx, f.Store, q)
}

func (f *faulty) Apply(ctx context.Context, c *store.Change) error {
	if f.apply == nil {
		return f.Store.Apply(ctx, c)
	}
	return f.apply(ctx, f.Store, c)
}

func (f *faulty) Touch(ctx context.Context, uses []store.Usage) error {
	if f.touch == nil {
		return f.Store.Touch(ctx, uses)
	}
	return f.touch(ctx, f.Store, uses)
}

func (f *faulty) Changes(ctx context.Context, since int64) (int64, []string, error) {
	if f.changes == nil {
		return f.Store.Changes(ctx, since)
	}
	return f.changes(ctx, f.Store, since)
}

func (f *faulty) Tenants(ctx context.Context, after string, limit int) ([]string, error) {
	if f.tenants == nil {
		return f.Store.Tenants(ctx, after, limit)
	}
	return f.tenants(ctx, f.Store, after, limit)
}

func (f *faulty) Audit(ctx context.Context, tenant string, after int64, limit int) ([]store.AuditRow, error) {
	if f.audit == nil {
		return f.Store.Audit(ctx, tenant, after, limit)
	}
	return f.audit(ctx, f.Store, tenant, after, limit)
}

func (f *faulty) Ping(ctx context.Context) error {
	if f.ping == nil {
		return f.Store.Ping(ctx)
	}
	return f.ping(ctx, f.Store)
}

func (f *faulty) Scopes(ctx context.Context, tenant string) ([]string, error) {
	if f.scopes == nil {
		return f.Store.Scopes(ctx, tenant)
	}
	return f.scopes(ctx, f.Store, tenant)
}

func (f *faulty) Docs(ctx context.Context, q store.DocQuery) ([]store.Doc, error) {
	if f.docs == nil {
		return f.Store.Docs(ctx, q)
	}
	return f.docs(ctx, f.Store, q)
}

// reading returns stores that modify the results of Read.
func reading(spoil func(q store.Query, snap *store.Snapshot)) func() store.Store {
	return func() store.Store {
		return &faulty{Store: memstore.New(), read: func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error) {
			snap, err := s.Read(ctx, q)
			if err == nil {
				spoil(q, snap)
			}
			return snap, err
		}}
	}
}

// asking returns stores that modify the queries of Read.
func asking(spoil func(q *store.Query)) func() store.Store {
	return func() store.Store {
		return &faulty{Store: memstore.New(), read: func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error) {
			spoil(&q)
			return s.Read(ctx, q)
		}}
	}
}

// writing returns stores that modify changes before Apply. spoil owns c and its lists.
func writing(spoil func(ctx context.Context, s store.Store, c *store.Change)) func() store.Store {
	return func() store.Store {
		return &faulty{Store: memstore.New(), apply: func(ctx context.Context, s store.Store, c *store.Change) error {
			own := store.Change{
				Keys: slices.Clone(c.Keys), Seals: slices.Clone(c.Seals), Insert: slices.Clone(c.Insert), Activate: slices.Clone(c.Activate),
				Prune: slices.Clone(c.Prune), Delete: slices.Clone(c.Delete), Issue: slices.Clone(c.Issue), Revoke: slices.Clone(c.Revoke),
				Reseal: slices.Clone(c.Reseal), Remac: slices.Clone(c.Remac), DropTokens: slices.Clone(c.DropTokens), Mint: slices.Clone(c.Mint),
				Docs: slices.Clone(c.Docs), ExpireDocs: slices.Clone(c.ExpireDocs), StartAudit: slices.Clone(c.StartAudit), Append: slices.Clone(c.Append), DropAudit: slices.Clone(c.DropAudit),
			}
			spoil(ctx, s, &own)
			return s.Apply(ctx, &own)
		}}
	}
}

// using returns stores that modify the uses of Touch.
func using(spoil func(ctx context.Context, s store.Store, uses []store.Usage) []store.Usage) func() store.Store {
	return func() store.Store {
		return &faulty{Store: memstore.New(), touch: func(ctx context.Context, s store.Store, uses []store.Usage) error {
			return s.Touch(ctx, spoil(ctx, s, slices.Clone(uses)))
		}}
	}
}

func versionsOf(ctx context.Context, s store.Store, scope, name string) []store.SecretRow {
	snap, err := s.Read(ctx, store.Query{Scope: scope, Name: name})
	if err != nil {
		return nil
	}
	return snap.Versions
}

func stored(ctx context.Context, s store.Store, ref store.VersionRef) bool {
	return slices.ContainsFunc(versionsOf(ctx, s, ref.Scope, ref.Name), func(r store.SecretRow) bool { return r.Version == ref.Version })
}

func issued(ctx context.Context, s store.Store, id string) bool {
	snap, err := s.Read(ctx, store.Query{Token: id})
	return err == nil && snap.Token != nil
}

func storedSeal(ctx context.Context, s store.Store, scope string) []byte {
	snap, err := s.Read(ctx, store.Query{Scope: scope, SealsOnly: true})
	if err != nil {
		return nil
	}
	return snap.Path[len(snap.Path)-1].Seal
}

// mintedOf returns the identity of the stored row that row would replace.
func mintedOf(ctx context.Context, s store.Store, row store.MintedRow) string {
	snap, err := s.Read(ctx, store.Query{Scope: row.Scope, Minted: true})
	if err != nil {
		return ""
	}
	for _, stored := range snap.Path[len(snap.Path)-1].Minted {
		if stored.Integration == row.Integration {
			return stored.Identity
		}
	}
	return ""
}

func headOf(ctx context.Context, s store.Store, tenant string) *store.AuditRow {
	snap, err := s.Read(ctx, store.Query{Scope: tenant, AuditHead: true})
	if err != nil {
		return nil
	}
	return snap.AuditHead
}

// inSteps applies each part of c separately, up to the first that fails.
func inSteps(ctx context.Context, s store.Store, c *store.Change) error {
	for _, part := range []store.Change{
		{Keys: c.Keys}, {Seals: c.Seals}, {Insert: c.Insert}, {Issue: c.Issue}, {Activate: c.Activate}, {Prune: c.Prune}, {Delete: c.Delete}, {Revoke: c.Revoke},
		{Reseal: c.Reseal}, {Remac: c.Remac}, {DropTokens: c.DropTokens}, {Mint: c.Mint}, {Docs: c.Docs}, {ExpireDocs: c.ExpireDocs}, {StartAudit: c.StartAudit, Append: c.Append}, {DropAudit: c.DropAudit},
	} {
		if err := s.Apply(ctx, &part); err != nil {
			return err
		}
	}
	return nil
}

// forgetful loses its rows when it is reopened.
type forgetful struct{ store.Store }

func (f forgetful) Reopen(context.Context) (store.Store, error) { return memstore.New(), nil }

// brokenStores has a store that breaks each rule, by the name of the rule.
var brokenStores = map[string]func() store.Store{
	"every field is returned as it was stored": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for i := range c.Issue {
			c.Issue[i].RotateBy = c.Issue[i].Expires
		}
	}),
	"times have microsecond precision, and the zero time stays zero": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for i := range c.Insert {
			c.Insert[i].Created = c.Insert[i].Created.Truncate(time.Millisecond)
		}
	}),
	"unusual bytes and text are returned unchanged": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for i := range c.Insert {
			c.Insert[i].Message = bytes.TrimRight(c.Insert[i].Message, "\xff")
		}
	}),
	"names and ids are case-sensitive": asking(func(q *store.Query) {
		if strings.EqualFold(q.Token, "abcdef") {
			q.Token = "ABCdef"
		}
	}),
	"a change can have hundreds of rows": func() store.Store {
		return &faulty{Store: memstore.New(), apply: func(ctx context.Context, s store.Store, c *store.Change) error {
			if len(c.Insert) > 99 {
				return errors.New("too many parameters")
			}
			return s.Apply(ctx, c)
		}}
	},
	"the store keeps no reference to its arguments": func() store.Store {
		given := map[string][]byte{}
		return &faulty{
			Store: memstore.New(),
			apply: func(ctx context.Context, s store.Store, c *store.Change) error {
				for _, seal := range c.Seals {
					given[seal.Scope] = seal.New
				}
				return s.Apply(ctx, c)
			},
			read: func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error) {
				snap, err := s.Read(ctx, q)
				if err == nil && len(snap.Path) > 0 {
					snap.Path[0].Seal = given[snap.Path[0].Scope]
				}
				return snap, err
			},
		}
	},
	"the caller owns the results": func() store.Store {
		cache := map[store.Query]*store.Snapshot{}
		return &faulty{Store: memstore.New(), read: func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error) {
			if snap, ok := cache[q]; ok {
				return snap, nil
			}
			snap, err := s.Read(ctx, q)
			cache[q] = snap
			return snap, err
		}}
	},
	"applied changes survive reopening": func() store.Store { return forgetful{memstore.New()} },

	"a path has a state for each scope, whether or not anything is stored there": reading(func(_ store.Query, snap *store.Snapshot) {
		snap.Path = slices.DeleteFunc(snap.Path, func(st store.ScopeState) bool { return st.Seal == nil })
	}),
	"the snapshot for a missing token is empty": func() store.Store {
		return &faulty{Store: memstore.New(), read: func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error) {
			snap, err := s.Read(ctx, q)
			if err == nil && q.Token != "" && snap.Token == nil {
				return s.Read(ctx, store.Query{Scope: q.Scope})
			}
			return snap, err
		}}
	},
	"a token is read with the path of its scope": reading(func(q store.Query, snap *store.Snapshot) {
		if q.Token != "" && len(snap.Path) > 1 {
			snap.Path = snap.Path[1:]
		}
	}),
	"SealsOnly leaves out keys, secrets and revoked tokens": asking(func(q *store.Query) { q.SealsOnly = false }),
	"scopes with similar names are independent": func() store.Store {
		return &faulty{Store: memstore.New(), read: func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error) {
			snap, err := s.Read(ctx, q)
			if err != nil || q.Scope != "acme/a_b" {
				return snap, err
			}
			like, err := s.Read(ctx, store.Query{Scope: "acme/axb", Tokens: true}) // LIKE 'acme/a_b'
			if err == nil {
				snap.Tokens = append(snap.Tokens, like.Tokens...)
			}
			return snap, err
		}}
	},
	"secrets with similar names are independent": func() store.Store {
		return &faulty{Store: memstore.New(), read: func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error) {
			snap, err := s.Read(ctx, q)
			if err == nil && q.Name == "A_B" {
				snap.Versions = append(snap.Versions, versionsOf(ctx, s, q.Scope, "AXB")...)
			}
			return snap, err
		}}
	},
	"Below has each sealed scope below": reading(func(_ store.Query, snap *store.Snapshot) {
		snap.Below = slices.DeleteFunc(snap.Below, func(scope string) bool { return scope == "acme/empty" })
	}),
	"History has every name that a scope ever had": reading(func(_ store.Query, snap *store.Snapshot) {
		snap.History = slices.DeleteFunc(snap.History, func(h store.NameHistory) bool { return len(h.Versions) == 0 })
	}),
	"Tenants returns the tenants with a row of any kind, in byte order": func() store.Store {
		return &faulty{Store: memstore.New(), tenants: func(ctx context.Context, s store.Store, after string, limit int) ([]string, error) {
			if after != "" {
				after = after[:len(after)-1] + string(after[len(after)-1]-1) // includes the given name
			}
			return s.Tenants(ctx, after, limit)
		}}
	},
	"rows are sorted": reading(func(_ store.Query, snap *store.Snapshot) {
		slices.SortFunc(snap.Tokens, func(x, y store.TokenRow) int { return x.Created.Compare(y.Created) * -1 })
	}),
	"a revocation belongs to the scope of the token": reading(func(_ store.Query, snap *store.Snapshot) {
		for i := range snap.Path {
			snap.Path[i].Revoked = snap.Path[len(snap.Path)-1].Revoked
		}
	}),
	"all key records of the tenant are returned": reading(func(_ store.Query, snap *store.Snapshot) {
		snap.Keys = snap.Keys[:min(len(snap.Keys), 1)]
	}),

	"the version inserted last is the active one": func() store.Store {
		return &faulty{Store: memstore.New(), apply: func(ctx context.Context, s store.Store, c *store.Change) error {
			own := *c
			for _, row := range c.Insert {
				if old := versionsOf(ctx, s, row.Scope, row.Name); len(old) > 0 {
					own.Activate = append(own.Activate, store.VersionRef{Scope: row.Scope, Name: row.Name, Version: old[0].Version})
				}
			}
			return s.Apply(ctx, &own)
		}}
	},
	"a tombstone is a version like any other": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for _, row := range c.Insert {
			if row.Hidden {
				c.Prune = append(c.Prune, store.VersionRef{Scope: row.Scope, Name: row.Name, Version: row.Version})
			}
		}
	}),
	"activating a version makes it the active one": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		for i, ref := range c.Activate {
			versions := versionsOf(ctx, s, ref.Scope, ref.Name)
			c.Activate[i].Version = versions[len(versions)-1].Version
		}
	}),
	"activating a version that is not stored fails and changes nothing": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		c.Activate = slices.DeleteFunc(c.Activate, func(ref store.VersionRef) bool { return !stored(ctx, s, ref) })
	}),
	"revoking a token that is not stored fails and changes nothing": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		c.Revoke = slices.DeleteFunc(c.Revoke, func(r store.RevokedRow) bool { return !issued(ctx, s, r.ID) })
	}),
	"pruning removes lower versions and never the active one": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		for _, ref := range c.Prune {
			versions := versionsOf(ctx, s, ref.Scope, ref.Name)
			if slices.ContainsFunc(versions, func(r store.SecretRow) bool { return r.Version >= ref.Version }) {
				c.Activate = append(c.Activate, store.VersionRef{Scope: ref.Scope, Name: ref.Name, Version: versions[len(versions)-1].Version})
			}
		}
	}),
	"deleting removes all versions": func() store.Store {
		return &faulty{Store: memstore.New(), apply: func(ctx context.Context, s store.Store, c *store.Change) error {
			own := *c
			for _, ref := range c.Delete { // the newest survives as a tombstone
				if old := versionsOf(ctx, s, ref.Scope, ref.Name); len(old) > 0 {
					row := old[len(old)-1]
					row.Version, row.Hidden = row.Version+1, true
					own.Insert = append(own.Insert, row)
				}
			}
			own.Delete = nil
			return s.Apply(ctx, &own)
		}}
	},
	"version numbers are never reused": reading(func(_ store.Query, snap *store.Snapshot) {
		snap.Last = 0
		if n := len(snap.Versions); n > 0 {
			snap.Last = snap.Versions[n-1].Version
		}
	}),

	"resealing replaces key, messages and MAC of a version and nothing else": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for _, row := range c.Reseal {
			c.Activate = append(c.Activate, store.VersionRef{Scope: row.Scope, Name: row.Name, Version: row.Version})
		}
	}),
	"a new MAC of a token replaces its generation, key and MAC and nothing else": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for _, row := range c.Remac {
			c.Revoke = append(c.Revoke, store.RevokedRow{ID: row.ID, Revoked: row.Revoked, RevokedBy: row.RevokedBy})
		}
	}),
	"resealing a row that is not stored fails and changes nothing": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		c.Reseal = slices.DeleteFunc(c.Reseal, func(r store.SecretRow) bool {
			return !stored(ctx, s, store.VersionRef{Scope: r.Scope, Name: r.Name, Version: r.Version})
		})
	}),
	"revoking a token again changes the time": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		c.Revoke = slices.DeleteFunc(c.Revoke, func(r store.RevokedRow) bool {
			snap, err := s.Read(ctx, store.Query{Token: r.ID})
			return err == nil && snap.Token != nil && !snap.Token.Revoked.IsZero()
		})
	}),

	"minted rows are returned as they were stored": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for i := range c.Mint {
			c.Mint[i].New.Identity = strings.TrimSpace(c.Mint[i].New.Identity)
		}
	}),
	"minted rows are returned on request, for each scope of the path": reading(func(_ store.Query, snap *store.Snapshot) {
		for i := range max(len(snap.Path)-1, 0) {
			snap.Path[i].Minted = nil // only the rows of the scope itself
		}
	}),
	"a minted row is replaced only if its identity is the expected one": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		c.Mint = slices.DeleteFunc(c.Mint, func(m store.MintChange) bool { return m.New.Identity == "" && mintedOf(ctx, s, m.New) == "" })
	}),
	"minting changes no other rows": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		for _, m := range c.Mint {
			if seal := storedSeal(ctx, s, m.New.Scope); seal != nil {
				c.Seals = append(c.Seals, store.SealChange{Scope: m.New.Scope, Old: seal, New: seal}) // to wake the runners
			}
		}
	}),

	"audit entries are returned as they were stored": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for i := range c.Append {
			c.Append[i].Entry = c.Append[i].Entry[:min(len(c.Append[i].Entry), 1<<16-1)]
		}
	}),
	"an audit chain can be read from any number": func() store.Store {
		return &faulty{Store: memstore.New(), audit: func(ctx context.Context, s store.Store, tenant string, after int64, limit int) ([]store.AuditRow, error) {
			rows, err := s.Audit(ctx, tenant, after, limit)
			slices.SortFunc(rows, func(x, y store.AuditRow) int { return strings.Compare(fmt.Sprint(x.Seq), fmt.Sprint(y.Seq)) })
			return rows, err
		}}
	},
	"the newest audit entry is returned on request": func() store.Store {
		return &faulty{Store: memstore.New(), read: func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error) {
			snap, err := s.Read(ctx, q)
			if err == nil && q.AuditHead && len(snap.Path) > 0 {
				snap.AuditHead = nil
				if rows, _ := s.Audit(ctx, store.Tenant(snap.Path[0].Scope), 0, 10); len(rows) > 0 { // the last entry of the first page
					snap.AuditHead = &rows[len(rows)-1]
				}
			}
			return snap, err
		}}
	},
	"an entry is appended only after the newest of its chain": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		next := map[string]int64{}
		for i, row := range c.Append {
			if next[row.Tenant] == 0 {
				next[row.Tenant] = 1
				if head := headOf(ctx, s, row.Tenant); head != nil {
					next[row.Tenant] = head.Seq + 1
				}
			}
			c.Append[i].Seq = next[row.Tenant] // ignores the expectation
			next[row.Tenant]++
		}
	}),
	"an empty audit chain can start after a number": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		c.StartAudit = slices.DeleteFunc(c.StartAudit, func(ref store.AuditRef) bool { return headOf(ctx, s, ref.Tenant) != nil })
	}),
	"dropping audit entries never removes the newest one": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		for i, ref := range c.DropAudit {
			if head := headOf(ctx, s, ref.Tenant); head != nil && ref.Seq >= head.Seq {
				c.DropAudit[i].Seq = head.Seq - 2 // keeps more than the newest
			}
		}
	}),

	"a seal is replaced only if it is the one expected": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		for i := range c.Seals {
			c.Seals[i].Old = storedSeal(ctx, s, c.Seals[i].Scope)
		}
	}),
	"a key record is inserted or replaced only if the stored one is expected": writing(func(_ context.Context, _ store.Store, c *store.Change) {
		for i := range c.Keys {
			c.Keys[i].First = false
		}
	}),
	"a version that exists is not inserted again": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		c.Insert = slices.DeleteFunc(c.Insert, func(r store.SecretRow) bool {
			return stored(ctx, s, store.VersionRef{Scope: r.Scope, Name: r.Name, Version: r.Version})
		})
	}),
	"a token that exists is not issued again": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		c.Issue = slices.DeleteFunc(c.Issue, func(r store.TokenRow) bool { return issued(ctx, s, r.ID) })
	}),
	"a change that fails changes nothing": func() store.Store { return &faulty{Store: memstore.New(), apply: inSteps} },
	"nothing is read or written once the context is done": func() store.Store {
		return &faulty{Store: memstore.New(), touch: func(ctx context.Context, s store.Store, uses []store.Usage) error {
			return s.Touch(context.WithoutCancel(ctx), uses)
		}}
	},

	"the latest use of a token is recorded": func() store.Store {
		last := map[string]store.Usage{}
		return &faulty{
			Store: memstore.New(),
			touch: func(ctx context.Context, s store.Store, uses []store.Usage) error {
				for _, use := range uses {
					last[use.Token] = use
				}
				return s.Touch(ctx, uses)
			},
			read: func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error) {
				snap, err := s.Read(ctx, q)
				if use, ok := last[q.Token]; err == nil && ok {
					snap.Token.LastUsed, snap.Token.LastAddr, snap.Token.LastRunner = use.Time, use.Addr, use.Runner
				}
				return snap, err
			},
		}
	},
	"the latest use of a secret is recorded": using(func(_ context.Context, _ store.Store, uses []store.Usage) []store.Usage {
		for _, use := range uses {
			if use.Name != "" {
				use.Scope, use.Name = "", ""
				uses = append(uses, use) // the token's too
			}
		}
		return uses
	}),
	"a batch can have hundreds of uses": using(func(_ context.Context, _ store.Store, uses []store.Usage) []store.Usage {
		return uses[:min(len(uses), 256)]
	}),
	"a use of a deleted secret or missing token changes nothing": func() store.Store {
		return &faulty{Store: memstore.New(), touch: func(ctx context.Context, s store.Store, uses []store.Usage) error {
			for _, use := range uses {
				if use.Name == "" && !issued(ctx, s, use.Token) {
					return errors.New("no such token")
				}
			}
			return s.Touch(ctx, uses)
		}}
	},
	"a use does not count as a change": func() store.Store {
		return &faulty{Store: memstore.New(), touch: func(ctx context.Context, s store.Store, uses []store.Usage) error {
			return errors.Join(s.Touch(ctx, uses), s.Apply(ctx, &store.Change{}))
		}}
	},
	"Changes returns the scopes whose seals were changed": func() store.Store {
		return &faulty{Store: memstore.New(), changes: func(ctx context.Context, s store.Store, since int64) (int64, []string, error) {
			newest, scopes, err := s.Changes(ctx, since)
			if newest > since {
				_, scopes, err = s.Changes(ctx, 0)
			}
			return newest, scopes, err
		}}
	},
	"a ping succeeds, shows nowhere and does not count as a change": func() store.Store {
		return &faulty{Store: memstore.New(), ping: func(ctx context.Context, s store.Store) error {
			return s.Apply(ctx, &store.Change{})
		}}
	},

	"a read shows all or nothing of every change": func() store.Store {
		var mu sync.Mutex
		paths := map[store.Query][]store.ScopeState{}
		return &faulty{Store: memstore.New(), read: func(ctx context.Context, s store.Store, q store.Query) (*store.Snapshot, error) {
			mu.Lock()
			defer mu.Unlock()
			snap, err := s.Read(ctx, q)
			if err == nil {
				earlier := paths[q]
				paths[q] = snap.Path
				if earlier != nil {
					snap.Path = earlier // as if the path were read before a change, and the rest after it
				}
			}
			return snap, err
		}}
	},
	"of writers with the same expectation, one wins": func() store.Store {
		var mu sync.Mutex
		before := map[string][]byte{}
		return &faulty{Store: memstore.New(), apply: func(ctx context.Context, s store.Store, c *store.Change) error {
			mu.Lock()
			defer mu.Unlock()
			own := store.Change{Seals: slices.Clone(c.Seals), Insert: c.Insert}
			for i, seal := range c.Seals {
				now := storedSeal(ctx, s, seal.Scope)
				if bytes.Equal(seal.Old, before[seal.Scope]) {
					own.Seals[i].Old = now // as if it had read before the other write
				}
				before[seal.Scope] = now
			}
			return s.Apply(ctx, &own)
		}}
	},
	"of concurrent mints or appends, one wins": writing(func(ctx context.Context, s store.Store, c *store.Change) {
		for i := range c.Mint {
			c.Mint[i].Old = mintedOf(ctx, s, c.Mint[i].New)
		}
	}),
	"an audit chain with concurrent writers has no gap and loses no entry": func() store.Store {
		var writes atomic.Int32
		return &faulty{Store: memstore.New(), apply: func(ctx context.Context, s store.Store, c *store.Change) error {
			if len(c.Append) > 0 && writes.Add(1)%5 == 0 {
				return nil // as if another writer had taken the number: ON CONFLICT DO NOTHING
			}
			return s.Apply(ctx, c)
		}}
	},
	"no write is lost among writers that retry": func() store.Store {
		var writes atomic.Int32
		return &faulty{Store: memstore.New(), apply: func(ctx context.Context, s store.Store, c *store.Change) error {
			if writes.Add(1)%5 == 0 {
				return nil
			}
			return s.Apply(ctx, c)
		}}
	},
	"nothing becomes visible at or below a number that Changes has returned": func() store.Store {
		var taken atomic.Int64
		var written sync.Map // the number of each scope's seal
		asked := make(chan struct{})
		return &faulty{
			Store: memstore.New(),
			apply: func(ctx context.Context, s store.Store, c *store.Change) error {
				number := taken.Add(1) // a sequence: it does not wait for the commit
				<-asked
				for _, seal := range c.Seals {
					written.Store(seal.Scope, number)
				}
				return s.Apply(ctx, c)
			},
			changes: func(_ context.Context, _ store.Store, since int64) (newest int64, scopes []string, err error) {
				newest = taken.Load()
				written.Range(func(scope, number any) bool {
					if number.(int64) > since {
						scopes = append(scopes, scope.(string))
					}
					return true
				})
				select {
				case asked <- struct{}{}:
				default:
				}
				return newest, scopes, nil
			},
		}
	},
	"a canceled write is stored completely or not at all": func() store.Store {
		return &faulty{Store: memstore.New(), apply: func(ctx context.Context, s store.Store, c *store.Change) error {
			if err := s.Apply(ctx, c); err != nil {
				return err
			}
			if ctx.Done() != nil {
				<-ctx.Done() // the rule's context is never done
			}
			return ctx.Err()
		}}
	},
}
