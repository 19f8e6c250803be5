package sqlstore

import (
	"context"
	"fmt"

	"github.com/satchelhq/satchel/vault/store"
)

const selectAudit = "SELECT tenant, seq, entry, key_id, mac FROM [audit] "

// Audit implements [store.Store].
func (s *Store) Audit(ctx context.Context, tenant string, after int64, limit int) ([]store.AuditRow, error) {
	var rows []store.AuditRow
	err := s.inTx(ctx, s.dialect.beginRead, func(x *tx) (err error) {
		rows, err = x.audit(ctx, "WHERE tenant = ? AND seq > ? ORDER BY seq LIMIT ?", tenant, after, int64(max(limit, 0)))
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// audit returns the entries selected by where.
func (x *tx) audit(ctx context.Context, where string, args ...any) ([]store.AuditRow, error) {
	var rows []store.AuditRow
	err := x.query(ctx, "reading audit", selectAudit+where, args, func(scan func(...any) error) error {
		var r store.AuditRow
		err := scan(&r.Tenant, (*integer)(&r.Seq), &r.Entry, fixed(r.KeyID[:]), fixed(r.MAC[:]))
		rows = append(rows, r)
		return err
	})
	return rows, err
}

// append adds entries to audit chains. Other writers wait, so the sequence numbers
// that it reads remain current until it writes.
func (x *tx) append(ctx context.Context, c *store.Change) error {
	newest := map[string]int64{}
	for _, ref := range c.StartAudit {
		if seq, err := x.newestEntry(ctx, ref.Tenant); err != nil {
			return err
		} else if seq != 0 {
			return fmt.Errorf("starting a chain in audit: %w", store.ErrConflict)
		}
		newest[ref.Tenant] = ref.Seq
	}
	for _, r := range c.Append {
		seq, known := newest[r.Tenant]
		if !known {
			var err error
			if seq, err = x.newestEntry(ctx, r.Tenant); err != nil {
				return err
			}
		}
		if r.Seq != seq+1 {
			return fmt.Errorf("inserting into audit: %w", store.ErrConflict)
		}
		newest[r.Tenant] = r.Seq
	}
	for batch := range batches(c.Append) {
		args := make([]any, 0, 5*len(batch))
		for i := range batch {
			r := &batch[i]
			args = append(args, r.Tenant, r.Seq, blob(r.Entry), r.KeyID[:], r.MAC[:])
		}
		query := "INSERT INTO [audit] (tenant, seq, entry, key_id, mac) " + values(len(batch), "(?, ?, ?, ?, ?)")
		if _, err := x.exec(ctx, "inserting into audit", query, args...); err != nil {
			return err
		}
	}
	return nil
}

// newestEntry returns the sequence number of a tenant's newest audit entry, or 0.
func (x *tx) newestEntry(ctx context.Context, tenant string) (seq int64, err error) {
	err = x.query(ctx, "reading audit", "SELECT coalesce(max(seq), 0) FROM [audit] WHERE tenant = ?", []any{tenant},
		func(scan func(...any) error) error { return scan((*integer)(&seq)) })
	return seq, err
}

func (x *tx) dropAudit(ctx context.Context, ref store.AuditRef) error {
	_, err := x.exec(ctx, "deleting from audit", "DELETE FROM [audit] WHERE tenant = ? AND seq <= ? AND seq < (SELECT max(seq) FROM [audit] WHERE tenant = ?)",
		ref.Tenant, ref.Seq, ref.Tenant)
	return err
}
