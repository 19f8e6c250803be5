package vault

import (
	"context"
	"fmt"
	"slices"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

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
		return nil, fmt.Errorf("reading the audit chain of tenant %s: %w", clip(tenant), v.refused(ctx, err))
	}
	return records, nil
}

func (v *Vault) auditPage(ctx context.Context, tenant string, before int64, limit int) ([]audit.Record, error) {
	if err := CheckScope(tenant); err != nil || store.Tenant(tenant) != tenant {
		return nil, fmt.Errorf("%w: want the name of a tenant, the first segment of a scope", ErrInvalid)
	}
	if before < 0 || limit < 1 {
		return nil, fmt.Errorf("%w: before is %d and limit %d; want 0 or more, and 1 or more", ErrInvalid, before, limit)
	}
	st, err := v.read(ctx, store.Query{Scope: tenant, AuditHead: true})
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
	// Numbers have no gaps. The entry before the page comes along, to check
	// the oldest against.
	oldest := max(newest-int64(limit)+1, 1)
	rows, err := v.storage.Audit(ctx, tenant, max(oldest-2, 0), int(newest-oldest)+2)
	if err != nil {
		return nil, fmt.Errorf("reading from storage: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(row store.AuditRow) bool { return row.Seq > newest })
	if n := len(rows); n > 0 && rows[n-1].Seq != newest {
		return nil, fmt.Errorf("%w: entries before number %d are missing", keyring.ErrTampered, newest+1)
	}
	check := audit.Check{Tenant: tenant}
	var records []audit.Record
	for _, row := range rows {
		key, err := st.key(ctx, row.KeyID)
		if err != nil {
			return nil, err
		}
		entry, err := check.Next(key, row)
		if err != nil {
			return nil, err
		}
		if row.Seq >= oldest {
			records = append(records, audit.Record{Seq: row.Seq, Entry: entry})
		}
	}
	slices.Reverse(records)
	return records, nil
}
