package vault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// attempts bounds how often an update is tried again after conflicts.
const attempts = 50

// update reads what q asks for, lets plan say what is to change in q.Scope,
// seals the outcome and stores it. It starts over if another write came in
// between. An empty change is not stored.
func (v *Vault) update(ctx context.Context, q store.Query, plan planner) error {
	q.AuditHead = true
	var told bool
	for attempt := range attempts {
		err := v.updateOnce(ctx, q, plan, &told)
		if !errors.Is(err, errRetry) {
			return v.logRefusal(ctx, err)
		}
		if err := yieldTurn(ctx, attempt); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: scope %s was written by others at each of %d attempts", ErrConflict, q.Scope, attempts)
}

// yieldTurn lets others write after a conflict: a random pause keeps them from
// meeting again.
func yieldTurn(ctx context.Context, attempt int) error {
	return pause(ctx, rand.N(time.Duration(min(attempt+1, 20))*2*time.Millisecond))
}

// errRetry is what updateOnce returns if another write came in between.
var errRetry = errors.New("another write came in between")

// A planner says what is to change in the scope of st. New rows are
// authenticated under key.
type planner func(st *state, key *keyring.DataKey) (*store.Change, error)

func (v *Vault) updateOnce(ctx context.Context, q store.Query, plan planner, told *bool) error {
	st, err := v.read(ctx, q)
	if err != nil {
		return err
	}
	defer st.close()
	key, err := st.newestKey(ctx)
	if errors.Is(err, errNoDataKey) {
		if err := v.addKey(ctx, store.Tenant(q.Scope), true); err != nil {
			return err
		}
		return errRetry
	}
	if err != nil {
		return err
	}
	change, err := plan(st, key)
	if err != nil || emptyChange(change) {
		return err
	}
	if err := st.seal(key, change); err != nil {
		return err
	}
	author, err := actor(ctx)
	if err != nil {
		return err
	}
	entries := auditEntries(change, q.Scope, author)
	if !*told {
		if err := v.audit.Tell(ctx, store.Tenant(q.Scope), entries...); err != nil {
			return err
		}
		*told = true
	}
	if change.Append, err = audit.Chain(key, store.Tenant(q.Scope), st.AuditHead, entries...); err != nil {
		return err
	}
	if err := v.storage.Apply(ctx, change); err != nil {
		if errors.Is(err, store.ErrConflict) {
			return errRetry
		}
		return fmt.Errorf("storing the change to scope %s: %w", q.Scope, err)
	}
	v.marks.raise(st)
	for _, seal := range change.Seals {
		v.watch.wake(seal.Scope)
	}
	v.observer.written(entries)
	return nil
}

// seal carries out change on the state of the scope, and adds to it the seals
// that it needs: the scope's next one, and a first one for each ancestor that
// has none.
func (st *state) seal(key *keyring.DataKey, change *store.Change) error {
	st.apply(change)
	for i := range st.Path {
		s := &st.Path[i]
		last := i == len(st.Path)-1
		// A token changes nothing that a seal covers; it only needs one.
		if s.Seal != nil && !(last && changesSealed(change)) {
			continue
		}
		// The first seal is that of an empty scope; a write makes the next.
		epoch := uint64(1)
		if i < len(st.seals) {
			epoch = st.seals[i].epoch + 1
		} else if last && changesSealed(change) {
			epoch = 2
		}
		sealed, err := makeSeal(key, s, epoch)
		if err != nil {
			return err
		}
		change.Seals = append(change.Seals, store.SealChange{Scope: s.Scope, Old: s.Seal, New: sealed})
		s.Seal = sealed
	}
	return nil
}

// apply carries out change on the state of the scope, as Storage will.
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
}

// emptyChange reports whether c changes nothing; a nil one does not.
func emptyChange(c *store.Change) bool {
	return c == nil || !changesSealed(c) && len(c.Issue)+len(c.Remac) == 0
}

// changesSealed reports whether c changes something that a seal covers.
func changesSealed(c *store.Change) bool {
	return c.Reseals || len(c.Insert)+len(c.Activate)+len(c.Delete)+len(c.Revoke)+len(c.Reseal) > 0
}

// addKey gives a tenant a data key: its first one, if it has none yet, or
// another one.
func (v *Vault) addKey(ctx context.Context, tenant string, first bool) error {
	key, record, err := v.keys.NewKey(ctx, keyContext(tenant))
	if err != nil {
		return fmt.Errorf("making the data key of tenant %s: %w", tenant, err)
	}
	key.Destroy()
	err = v.storage.Apply(ctx, &store.Change{Keys: []store.KeyChange{{Tenant: tenant, New: record, First: first}}})
	if first && errors.Is(err, store.ErrConflict) {
		return nil // somebody else has given it its first one
	}
	if err != nil {
		return fmt.Errorf("storing the data key of tenant %s: %w", tenant, err)
	}
	return nil
}

// pause returns after d, or with an error when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
