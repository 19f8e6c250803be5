package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/satchelhq/satchel/internal/pause"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// A write has three steps, read, decide and commit: update reads a verified state, a
// planner decides on the changes to its scope, and commit seals the outcome and stores
// it together with its audit entries.

// write holds a planner's input besides the state: the data key for new rows, the
// author of the change, and its time.
type write struct {
	key    *keyring.DataKey
	author string
	time   time.Time
}

// plan holds the changes of a write to the scope of a state. commit adds seals and
// audit entries.
type plan struct {
	store.Change
	// reseal replaces the seal of the scope even if no row changes that it covers, to
	// move it to the newest data key or to drop revocations.
	reseal bool
	// records are further audit entries; see record.
	records []audit.Entry
}

// empty reports whether p changes nothing. A nil plan is empty.
func (p *plan) empty() bool {
	return p == nil || !p.changesSealed() && len(p.Issue)+len(p.Remac)+len(p.DropTokens) == 0
}

// changesSealed reports whether p changes rows that a seal covers.
func (p *plan) changesSealed() bool {
	return p.reseal || len(p.Insert)+len(p.Activate)+len(p.Delete)+len(p.Revoke)+len(p.Reseal)+len(p.Docs) > 0
}

// entries returns the audit entries for p, a plan for scope.
func (p *plan) entries(scope string, w write) []audit.Entry {
	var entries []audit.Entry
	add := func(action audit.Action, name string, version int64, token string) {
		entries = append(entries, audit.Entry{Time: w.time, Action: action, Actor: w.author, Scope: scope, Name: name, Version: version, Token: token})
	}
	for _, row := range p.Insert {
		if row.Hidden {
			add(audit.Hide, row.Name, row.Version, "")
		} else {
			add(audit.Put, row.Name, row.Version, "")
		}
	}
	for _, ref := range p.Activate {
		add(audit.Activate, ref.Name, ref.Version, "")
	}
	for _, ref := range p.Delete {
		add(audit.Delete, ref.Name, 0, "")
	}
	for _, row := range p.Issue {
		add(audit.Issue, "", 0, row.ID)
	}
	for _, row := range p.Revoke {
		add(audit.Revoke, "", 0, row.ID)
	}
	for _, e := range p.records {
		e.Time, e.Actor, e.Scope = w.time, w.author, scope
		entries = append(entries, e)
	}
	return entries
}

// A planner decides on the changes to the scope of st and on the result of the write.
// It changes nothing itself, and runs again after a conflict with another write. ctx
// is for opening data keys.
type planner[T any] func(ctx context.Context, st *state, w write) (*plan, T, error)

// attempts bounds how often an update is attempted.
const attempts = 50

// errRetry means that an attempt of an update conflicted with another write.
var errRetry = errors.New("conflict with another write")

// update reads the state for q, lets decide choose the changes to its scope, and
// commits them. After a conflict with another write it starts over, and meanwhile
// keeps this process from appending to the tenant's audit chain, so that continuous
// deliveries do not starve the write. An empty plan is not stored. If q names a token
// that does not exist, update returns ErrNotFound.
func update[T any](ctx context.Context, v *Vault, q store.Query, decide planner[T]) (T, error) {
	var none T
	author, err := actor(ctx)
	if err != nil {
		return none, err
	}
	q.AuditHead = true
	tenant := "" // unknown in the first attempt
	for attempt := range attempts {
		result, err := updateOnce(ctx, v, q, author, &tenant, decide)
		if err == nil {
			return result, nil
		}
		if !errors.Is(err, errRetry) {
			return none, v.logRefusal(ctx, err)
		}
		if err := pause.AfterConflict(ctx, attempt); err != nil {
			return none, err
		}
	}
	return none, fmt.Errorf("%w: each of %d attempts conflicted with another write", ErrConflict, attempts)
}

// updateOnce is one attempt of update. It takes the tenant's turn in the audit log
// before the commit, or before it reads if *tenant is known, and sets *tenant.
func updateOnce[T any](ctx context.Context, v *Vault, q store.Query, author string, tenant *string, decide planner[T]) (T, error) {
	var none T
	known := *tenant != ""
	if known {
		release, err := v.audit.Turn(ctx, *tenant)
		if err != nil {
			return none, err
		}
		defer release()
	}
	st, err := v.read(ctx, q)
	if err != nil {
		return none, err
	}
	defer st.close()
	if q.Token != "" && st.Token == nil {
		return none, ErrNotFound
	}
	*tenant = st.tenant()
	key, err := st.newestKey(ctx)
	if errors.Is(err, errNoDataKey) {
		if err := v.addKey(ctx, st.tenant(), true); err != nil {
			return none, err
		}
		return none, errRetry
	}
	if err != nil {
		return none, err
	}
	w := write{key: key, author: author, time: now()}
	change, result, err := decide(ctx, st, w)
	if err != nil || change.empty() {
		return result, err
	}
	if !known {
		release, err := v.audit.Turn(ctx, *tenant)
		if err != nil {
			return none, err
		}
		defer release()
	}
	return result, v.commit(ctx, st, w, change)
}

// commit seals the changes of p to st, stores them with their audit entries and records
// these in the sinks. The caller has the tenant's turn in the audit log.
func (v *Vault) commit(ctx context.Context, st *state, w write, p *plan) error {
	if err := st.seal(w.key, p); err != nil {
		return err
	}
	entries := p.entries(st.scope().Scope, w)
	stored, err := v.audit.Commit(ctx, w.key, st.tenant(), st.AuditHead, &p.Change, entries...)
	if errors.Is(err, store.ErrConflict) {
		return errRetry
	}
	if !stored {
		return fmt.Errorf("storing the change to scope %s: %w", st.scope().Scope, err)
	}
	v.marks.raise(st)
	for _, seal := range p.Seals {
		v.watch.wake(seal.Scope)
	}
	v.observer.reportWrites(entries)
	if err != nil {
		return fmt.Errorf("the change to scope %s is stored, but its %w", st.scope().Scope, err)
	}
	return nil
}

// seal applies p to the state of the scope and adds the required seals to p: the next
// one of the scope, and a first one for each ancestor that has none.
func (st *state) seal(key *keyring.DataKey, p *plan) error {
	st.apply(&p.Change)
	for i := range st.Path {
		s := &st.Path[i]
		last := i == len(st.Path)-1
		// A seal does not cover new tokens, but a token needs a sealed path.
		if s.Seal != nil && !(last && p.changesSealed()) {
			continue
		}
		// The first seal is that of an empty scope; a write makes the second.
		epoch := uint64(1)
		if i < len(st.seals) {
			epoch = st.seals[i].epoch + 1
		} else if last && p.changesSealed() {
			epoch = 2
		}
		sealed, err := makeSeal(key, s, epoch)
		if err != nil {
			return err
		}
		p.Seals = append(p.Seals, store.SealChange{Scope: s.Scope, Old: s.Seal, New: sealed})
		s.Seal = sealed
	}
	return nil
}

// apply applies change to the state of the scope, as the store will.
func (st *state) apply(change *store.Change) {
	s := st.scope()
	drop := func(name string) {
		s.Secrets = slices.DeleteFunc(s.Secrets, func(r store.SecretRow) bool { return r.Name == name })
	}
	for _, row := range change.Insert {
		drop(row.Name)
		s.Secrets = append(s.Secrets, row)
	}
	for _, ref := range change.Activate {
		drop(ref.Name)
		for _, row := range st.Versions {
			if row.Version == ref.Version {
				s.Secrets = append(s.Secrets, row)
			}
		}
	}
	for _, ref := range change.Delete {
		drop(ref.Name)
	}
	for _, t := range change.Revoke {
		s.Revoked = slices.DeleteFunc(s.Revoked, func(r store.RevokedRow) bool { return r.ID == t.ID })
		s.Revoked = append(s.Revoked, t)
	}
	for _, row := range change.Reseal {
		drop(row.Name)
		s.Secrets = append(s.Secrets, row)
	}
	for _, ref := range change.DropTokens {
		s.Revoked = slices.DeleteFunc(s.Revoked, func(r store.RevokedRow) bool { return r.ID == ref.ID })
	}
	applyDocs(s, change.Docs)
}

// addKey creates a data key for a tenant. With first, it does nothing if the tenant
// already has one.
func (v *Vault) addKey(ctx context.Context, tenant string, first bool) error {
	key, record, err := v.keys.NewKey(ctx, keyContext(tenant))
	if err != nil {
		return fmt.Errorf("creating a data key for tenant %s: %w", tenant, err)
	}
	key.Destroy()
	err = v.storage.Apply(ctx, &store.Change{Keys: []store.KeyChange{{Tenant: tenant, New: record, First: first}}})
	if first && errors.Is(err, store.ErrConflict) {
		return nil // another process has created the first one
	}
	if err != nil {
		return fmt.Errorf("storing the data key of tenant %s: %w", tenant, err)
	}
	return nil
}
