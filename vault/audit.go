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

// append records an entry in the audit chain of st's tenant.
func (v *Vault) append(ctx context.Context, st *state, e audit.Entry) error {
	tenant := st.tenant()
	return v.audit.Append(ctx, tenant, v.newestOpener(tenant, st), e)
}

// newestOpener returns a function that opens the newest data key of st's tenant. The
// audit log may call it after st is closed. A key that st has open takes no call to
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

// keyFinder returns a function that opens the data key of an audit row. The key may
// be newer than st.
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

// readTenant reads the state of a tenant for an operation on its audit chain. The
// error is ErrInvalid if tenant is not the name of a tenant.
func (v *Vault) readTenant(ctx context.Context, tenant string, head bool) (*state, error) {
	if tenant != store.Platform && (CheckScope(tenant) != nil || store.Tenant(tenant) != tenant) {
		return nil, fmt.Errorf("%w: expected the name of a tenant, which is the first segment of a scope", ErrInvalid)
	}
	return v.read(ctx, store.Query{Scope: tenant, AuditHead: head})
}

// VerifyAudit checks the audit chain of a tenant: no entry is modified or missing.
// It calls visit, unless that is nil, for each entry in order, after checking it, and
// returns the head of the chain, to be kept outside the database.
//
// since is a head from an earlier call, or nil: the chain must still contain it, unless
// [Vault.TrimAudit] dropped it. Without since, VerifyAudit cannot detect that the end of
// the chain was cut off.
//
// A tenant without a chain, such as one that does not exist, has the zero Head and
// no error.
//
// The error is [ErrInvalid] if tenant is not the name of a tenant,
// [keyring.ErrTampered] if an entry is modified or missing, the error of visit, or
// one of the storage, key service and integrity errors of the package comment.
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
	head, err := v.audit.Verify(ctx, tenant, v.keyFinder(st), since, visit)
	if err == nil && head.Seq == 0 {
		err = st.checkUnaudited()
	}
	return head, err
}

// checkUnaudited returns an error if a tenant without an audit chain has a seal: each
// write of a seal adds an entry, and a trim leaves one.
func (st *state) checkUnaudited() error {
	if st.Path[0].Seal == nil {
		return nil
	}
	return fmt.Errorf("%w: the audit chain of tenant %s is missing", keyring.ErrTampered, nameOf(st.tenant()))
}

// AuditPage returns up to limit entries of a tenant's audit chain, the newest first:
// those with numbers below before, or the newest of all if before is zero. The last
// page has fewer than limit entries and may be empty.
//
// AuditPage checks each entry against the previous one, or against the entry of the
// [Vault.TrimAudit] that dropped that. If the previous one is missing otherwise, the
// entry may be forged, and is [audit.Record].Unverified. Only [Vault.VerifyAudit]
// checks the whole chain.
//
// The error is [ErrInvalid] if tenant is not the name of a tenant, before is
// negative or limit is below 1; [keyring.ErrTampered] if an entry is modified or
// missing; or one of the storage, key service and integrity errors of the package
// comment.
func (v *Vault) AuditPage(ctx context.Context, tenant string, before int64, limit int) ([]audit.Record, error) {
	records, err := v.auditPage(ctx, tenant, before, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the audit chain of tenant %s: %w", clip(tenant), v.logRefusal(ctx, err))
	}
	return records, nil
}

func (v *Vault) auditPage(ctx context.Context, tenant string, before int64, limit int) ([]audit.Record, error) {
	if before < 0 || limit < 1 {
		return nil, fmt.Errorf("%w: before is %d and limit is %d; before must be 0 or more, and limit 1 or more", ErrInvalid, before, limit)
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

// TrimAudit verifies the audit chain of a tenant, appends an entry that records the
// trim, with the actor of ctx, and drops the entries older than before. The rest of
// the chain can still be verified. It returns the number of dropped entries; if
// there are none to drop, it appends nothing.
//
// The error is [ErrInvalid] if tenant is not the name of a tenant or the actor is
// not valid; [ErrConflict] if another process trims the chain at the same time;
// [audit.ErrNotRecorded] if a sink fails, perhaps after the entries were dropped, and
// [Options].AuditBestEffort is not set;
// [keyring.ErrTampered] if an entry is modified or missing; or one of the storage,
// key service and integrity errors of the package comment.
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
		return 0, fmt.Errorf("%w: another process is trimming it", ErrConflict)
	}
	return dropped, err
}
