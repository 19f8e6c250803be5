package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// append records an entry of st's tenant.
func (v *Vault) append(ctx context.Context, st *state, e audit.Entry) error {
	tenant := st.tenant()
	return v.audit.Append(ctx, tenant, v.newestOpener(tenant, st), e)
}

// newestOpener returns how the audit log opens the newest data key of st's tenant,
// which may be when st is closed already. A key that st has open costs no call of
// the key service.
func (v *Vault) newestOpener(tenant string, st *state) audit.Open {
	return func(ctx context.Context) (*keyring.DataKey, error) {
		newest, err := newestRecord(st.Keys)
		if err != nil {
			return nil, err
		}
		if key, ok := st.opened[newest.id]; ok {
			if clone, err := key.Clone(); err == nil {
				return clone, nil
			}
		}
		return openKey(ctx, v.keys, tenant, newest.record)
	}
}

// keyFinder returns how the audit log finds the data key behind a row, which may be
// newer than st.
func (v *Vault) keyFinder(st *state) audit.Find {
	return func(ctx context.Context, id [16]byte) (*keyring.DataKey, error) {
		key, err := st.key(ctx, id)
		if !errors.Is(err, keyring.ErrTampered) {
			return key, err
		}
		snap, err := v.storage.Read(ctx, store.Query{Scope: st.Path[0].Scope})
		if err != nil {
			return nil, fmt.Errorf("reading from storage: %w", err)
		}
		st.Keys = snap.Keys
		return st.key(ctx, id)
	}
}

// readTenant reads for a use of the audit chain of a tenant.
func (v *Vault) readTenant(ctx context.Context, tenant string, head bool) (*state, error) {
	if err := CheckScope(tenant); err != nil || store.Tenant(tenant) != tenant {
		return nil, fmt.Errorf("%w: want the name of a tenant, the first segment of a scope", ErrInvalid)
	}
	return v.read(ctx, store.Query{Scope: tenant, AuditHead: head})
}

// VerifyAudit reads the audit chain of a tenant and checks that every entry is
// as this vault wrote it and that none is missing, and calls visit, unless it
// is nil, for each in order. It returns the newest entry, to be kept elsewhere.
// since is one that was kept before, or nil: the chain must still have it,
// unless TrimAudit dropped it.
//
// What was edited, cut out or cut off is keyring.ErrTampered, and logged. Without since,
// entries that were cut off at the end cannot be noticed. A tenant that has no
// chain, such as one that does not exist, has the zero Head and no error.
func (v *Vault) VerifyAudit(ctx context.Context, tenant string, since *audit.Head, visit func(seq int64, e audit.Entry) error) (audit.Head, error) {
	head, err := v.verifyAudit(ctx, tenant, since, visit)
	if err != nil {
		return audit.Head{}, fmt.Errorf("verifying the audit chain of tenant %s: %w", clip(tenant), v.logRefusal(ctx, err))
	}
	return head, nil
}

func (v *Vault) verifyAudit(ctx context.Context, tenant string, since *audit.Head, visit func(int64, audit.Entry) error) (audit.Head, error) {
	st, err := v.readTenant(ctx, tenant, false)
	if err != nil {
		return audit.Head{}, err
	}
	defer st.close()
	return v.audit.Verify(ctx, tenant, v.keyFinder(st), since, visit)
}

// AuditPage returns entries of a tenant's audit chain for people to read, the
// newest first: those with numbers below before, or the newest ones if that is
// zero, at most limit. A page may be empty, and one with fewer entries is the
// last.
//
// Each entry is checked against the one before it, unless [Vault.TrimAudit] has
// dropped that; what does not fit is keyring.ErrTampered. Only
// [Vault.VerifyAudit] checks the whole.
func (v *Vault) AuditPage(ctx context.Context, tenant string, before int64, limit int) ([]audit.Record, error) {
	records, err := v.auditPage(ctx, tenant, before, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the audit chain of tenant %s: %w", clip(tenant), v.logRefusal(ctx, err))
	}
	return records, nil
}

func (v *Vault) auditPage(ctx context.Context, tenant string, before int64, limit int) ([]audit.Record, error) {
	if before < 0 || limit < 1 {
		return nil, fmt.Errorf("%w: before is %d and limit %d; want 0 or more, and 1 or more", ErrInvalid, before, limit)
	}
	st, err := v.readTenant(ctx, tenant, true)
	if err != nil {
		return nil, err
	}
	defer st.close()
	if st.AuditHead == nil {
		return nil, nil
	}
	newest := st.AuditHead.Seq
	if before > 0 {
		newest = min(newest, before-1)
	}
	return v.audit.Page(ctx, tenant, st.key, newest, limit)
}

// TrimAudit drops the entries of a tenant that are older than before, after it
// has appended one that says so: the rest stays verifiable. It verifies the
// chain first. It returns how many were dropped.
func (v *Vault) TrimAudit(ctx context.Context, tenant string, before time.Time) (int64, error) {
	dropped, err := v.trimAudit(ctx, tenant, before)
	if err != nil {
		return 0, fmt.Errorf("trimming the audit chain of tenant %s: %w", clip(tenant), v.logRefusal(ctx, err))
	}
	return dropped, nil
}

func (v *Vault) trimAudit(ctx context.Context, tenant string, before time.Time) (int64, error) {
	author, err := actor(ctx)
	if err != nil {
		return 0, err
	}
	st, err := v.readTenant(ctx, tenant, false)
	if err != nil {
		return 0, err
	}
	defer st.close()
	dropped, err := v.audit.Trim(ctx, tenant, before, author, v.keyFinder(st), v.newestOpener(tenant, st))
	if errors.Is(err, store.ErrConflict) {
		return 0, fmt.Errorf("%w: another process trims it", ErrConflict)
	}
	return dropped, err
}
