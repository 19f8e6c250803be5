package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/satchelhq/satchel/internal/batch"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// auditEntries says what a change to scope is, for the audit chain.
func auditEntries(c *store.Change, scope, author string) []audit.Entry {
	t := now()
	var entries []audit.Entry
	add := func(action audit.Action, name string, version int64, token string) {
		entries = append(entries, audit.Entry{Time: t, Action: action, Actor: author, Scope: scope, Name: name, Version: version, Token: token})
	}
	for _, row := range c.Insert {
		if row.Hidden {
			add(audit.Hide, row.Name, row.Version, "")
		} else {
			add(audit.Put, row.Name, row.Version, "")
		}
	}
	for _, ref := range c.Activate {
		add(audit.Activate, ref.Name, ref.Version, "")
	}
	for _, ref := range c.Delete {
		add(audit.Delete, ref.Name, 0, "")
	}
	for _, row := range c.Issue {
		add(audit.Issue, "", 0, row.ID)
	}
	for _, row := range c.Revoke {
		add(audit.Revoke, "", 0, row.ID)
	}
	if c.Reseals || len(c.Reseal)+len(c.Remac) > 0 {
		add(audit.MoveKeys, "", 0, "")
	}
	return entries
}

// tell gives entries to the sinks.
func (v *Vault) tell(ctx context.Context, tenant string, entries ...audit.Entry) error {
	for _, e := range entries {
		for _, sink := range v.sinks {
			err := sink.Record(ctx, tenant, e)
			if err == nil {
				continue
			}
			if !v.auditBestEffort {
				return fmt.Errorf("%w: %w", audit.ErrNotRecorded, err)
			}
			v.log.ErrorContext(ctx, "an audit sink failed", "tenant", tenant, "action", string(e.Action), "error", err)
		}
	}
	return nil
}

// VerifyAudit reads the audit chain of a tenant and checks that every entry is
// as this vault wrote it and that none is missing, and calls visit, unless it
// is nil, for each in order. It returns the newest entry, to be kept elsewhere.
// since is one that was kept before, or nil: the chain must still have it,
// unless TrimAudit dropped it.
//
// What was edited, cut out or cut off is keyring.ErrTampered, and logged. Without since,
// entries that were cut off at the end cannot be noticed.
func (v *Vault) VerifyAudit(ctx context.Context, tenant string, since *audit.Head, visit func(seq int64, e audit.Entry) error) (audit.Head, error) {
	head, err := v.verifyAudit(ctx, tenant, since, visit)
	if err != nil {
		return audit.Head{}, fmt.Errorf("verifying the audit chain of tenant %s: %w", clip(tenant), v.refused(ctx, err))
	}
	return head, nil
}

// auditPage is how many entries are read, or written, together.
const auditPage = 500

func (v *Vault) verifyAudit(ctx context.Context, tenant string, since *audit.Head, visit func(int64, audit.Entry) error) (audit.Head, error) {
	var head audit.Head
	if err := CheckScope(tenant); err != nil || store.Tenant(tenant) != tenant {
		return head, fmt.Errorf("%w: want the name of a tenant, the first segment of a scope", ErrInvalid)
	}
	st, err := v.read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return head, err
	}
	defer st.close()
	check := audit.Check{Tenant: tenant, Since: since}
	for {
		rows, err := v.storage.Audit(ctx, tenant, head.Seq, auditPage)
		if err != nil {
			return head, fmt.Errorf("reading from storage: %w", err)
		}
		for _, row := range rows {
			key, err := v.auditKey(ctx, st, row)
			if err != nil {
				return head, err
			}
			entry, err := check.Next(key, row)
			if err != nil {
				return head, err
			}
			if visit != nil {
				if err := visit(row.Seq, entry); err != nil {
					return head, err
				}
			}
			head = audit.Head{Seq: row.Seq, MAC: row.MAC}
		}
		if len(rows) < auditPage {
			return head, check.End()
		}
	}
}

// auditKey returns the data key behind a row's MAC, which may be newer than st.
func (v *Vault) auditKey(ctx context.Context, st *state, row store.AuditRow) (*keyring.DataKey, error) {
	key, err := st.key(ctx, row.KeyID)
	if !errors.Is(err, keyring.ErrTampered) {
		return key, err
	}
	snap, err := v.storage.Read(ctx, store.Query{Scope: st.Path[0].Scope})
	if err != nil {
		return nil, fmt.Errorf("reading from storage: %w", err)
	}
	st.Keys = snap.Keys
	return st.key(ctx, row.KeyID)
}

// TrimAudit drops the entries of a tenant that are older than before, after it
// has appended one that says so: the rest stays verifiable. It verifies the
// chain first. It returns how many were dropped.
func (v *Vault) TrimAudit(ctx context.Context, tenant string, before time.Time) (int64, error) {
	author, err := actor(ctx)
	if err != nil {
		return 0, fmt.Errorf("trimming the audit chain of tenant %s: %w", clip(tenant), err)
	}
	before = before.Truncate(time.Microsecond) // as entries' times are
	var dropped, through int64
	young := false
	_, err = v.VerifyAudit(ctx, tenant, nil, func(seq int64, e audit.Entry) error {
		if young = young || !e.Time.Before(before); !young {
			dropped, through = dropped+1, seq
		}
		return nil
	})
	if err != nil || dropped == 0 {
		return 0, err
	}
	if err := v.trim(ctx, tenant, through, author); err != nil {
		return 0, fmt.Errorf("trimming the audit chain of tenant %s: %w", tenant, err)
	}
	return dropped, nil
}

func (v *Vault) trim(ctx context.Context, tenant string, through int64, author string) error {
	rows, err := v.storage.Audit(ctx, tenant, through-1, 1)
	if err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	if len(rows) == 0 || rows[0].Seq != through {
		return fmt.Errorf("%w: somebody else trims it", ErrConflict)
	}
	st, err := v.read(ctx, store.Query{Scope: tenant})
	if err != nil {
		return err
	}
	defer st.close()
	key, err := st.newestKey(ctx)
	if err != nil {
		return err
	}
	e := audit.Entry{Time: now(), Action: audit.Trim, Actor: author, Through: through, Head: hex.EncodeToString(rows[0].MAC[:])}
	if err := v.tell(ctx, tenant, e); err != nil {
		return err
	}
	// Together, whatever is best effort: without its entry the chain could not
	// be verified any more.
	entries, err := audit.Encode([]audit.Entry{e})
	if err != nil {
		return err
	}
	_, err = v.writeEntries(ctx, key, tenant, entries, store.AuditRef{Tenant: tenant, Seq: through})
	return err
}

// appends collects entries that are about to be appended, so that those of one
// tenant are written together.
type appends struct {
	mu       sync.Mutex
	byTenant map[string]*batch.Group[pendingEntry]
}

// pendingEntry is an entry that is about to be appended, and the tenant's key
// records as its caller read them.
type pendingEntry struct {
	entry audit.Entry
	keys  []keyring.Record
}

// appendWithin bounds the writing of entries, which goes on when the request
// that asked for it has ended.
const appendWithin = 10 * time.Second

// append tells the sinks and makes an entry of st's tenant durable, together
// with those that other requests bring meanwhile.
func (v *Vault) append(ctx context.Context, st *state, e audit.Entry) error {
	tenant := store.Tenant(st.Path[0].Scope)
	if err := v.tell(ctx, tenant, e); err != nil {
		return err
	}
	return v.appendsOf(tenant).Do(ctx, pendingEntry{e, st.Keys})
}

// appendsOf returns the group of a tenant's entries.
func (v *Vault) appendsOf(tenant string) *batch.Group[pendingEntry] {
	v.appends.mu.Lock()
	defer v.appends.mu.Unlock()
	group := v.appends.byTenant[tenant]
	if group == nil {
		group = &batch.Group[pendingEntry]{Most: auditPage, Commit: func(ctx context.Context, pending []pendingEntry) (int, error) {
			written, err := v.write(ctx, tenant, pending)
			return written, v.unrecorded(ctx, tenant, err)
		}}
		if v.appends.byTenant == nil {
			v.appends.byTenant = map[string]*batch.Group[pendingEntry]{}
		}
		v.appends.byTenant[tenant] = group
	}
	return group
}

// write appends entries to a tenant's chain. It returns how many of them, from
// the first on, are durable.
func (v *Vault) write(ctx context.Context, tenant string, pending []pendingEntry) (written int, err error) {
	ctx, cancel := context.WithTimeout(ctx, appendWithin)
	defer cancel()
	key, err := v.openNewest(ctx, tenant, pending[0].keys)
	if err != nil {
		return 0, err
	}
	defer key.Destroy()
	entries := make([]audit.Entry, len(pending))
	for i, p := range pending {
		entries[i] = p.entry
	}
	encoded, err := audit.Encode(entries)
	if err != nil {
		return 0, err
	}
	return v.writeEntries(ctx, key, tenant, encoded)
}

// writeEntries appends entries to a tenant's chain, and with the last of them
// drops others. It returns how many are durable.
//
// Each time that somebody else appends in between, it writes fewer together:
// writers of few entries would else always be faster than one of many.
func (v *Vault) writeEntries(ctx context.Context, key *keyring.DataKey, tenant string, entries [][]byte, drop ...store.AuditRef) (written int, err error) {
	together, lost := auditPage, 0
	for written < len(entries) {
		n := min(together, len(entries)-written)
		var dropped []store.AuditRef
		if written+n == len(entries) {
			dropped = drop
		}
		switch err := v.writeOnce(ctx, key, tenant, entries[written:written+n], dropped); {
		case err == nil:
			written, together, lost = written+n, min(2*together, auditPage), 0
		case errors.Is(err, store.ErrConflict):
			if err := yieldTurn(ctx, lost); err != nil {
				return written, err
			}
			together, lost = max(1, n/2), lost+1
		default:
			return written, err
		}
	}
	return written, nil
}

func (v *Vault) writeOnce(ctx context.Context, key *keyring.DataKey, tenant string, entries [][]byte, drop []store.AuditRef) error {
	snap, err := v.storage.Read(ctx, store.Query{Scope: tenant, SealsOnly: true, AuditHead: true})
	if err != nil {
		return &outage{fmt.Errorf("reading from storage: %w", err)}
	}
	rows, err := audit.Chain(key, tenant, snap.AuditHead, entries)
	if err != nil {
		return err
	}
	err = v.storage.Apply(ctx, &store.Change{Append: rows, DropAudit: drop})
	if err == nil || errors.Is(err, store.ErrConflict) {
		return err
	}
	return &outage{fmt.Errorf("writing to storage: %w", err)}
}

// unrecorded returns the error for entries that could not be written.
func (v *Vault) unrecorded(ctx context.Context, tenant string, err error) error {
	if err == nil {
		return nil
	}
	v.log.ErrorContext(ctx, "could not append to the audit chain", "tenant", tenant, "error", err)
	if v.auditBestEffort {
		return nil
	}
	return fmt.Errorf("%w: %w", audit.ErrNotRecorded, err)
}
