package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// Verify checks that no entry of a tenant's chain is modified or missing. It calls
// visit, unless that is nil, for each entry in order, and returns the head of the chain, to be
// kept outside the database; a tenant without entries has the zero Head. Trust the
// visited entries only if Verify returns no error: after a trim, the oldest entry is
// checked last.
//
// since is a head from an earlier call, or nil: the chain must still contain it, unless a
// trim dropped it. Without since, Verify cannot detect that the end of the chain was cut
// off.
//
// The error is [keyring.ErrTampered] if an entry is modified or missing, or the error of
// find, visit or storage.
func (l *Log) Verify(ctx context.Context, tenant string, find Find, since *Head, visit func(seq int64, e Entry) error) (Head, error) {
	var head Head
	c := check{tenant: tenant, since: since}
	for {
		rows, err := l.store.Audit(ctx, tenant, head.Seq, together)
		if err != nil {
			return head, fmt.Errorf("reading from storage: %w", err)
		}
		for _, row := range rows {
			entry, err := c.next(ctx, find, row)
			if err != nil {
				return head, err
			}
			if visit != nil {
				if err := visit(row.Seq, entry); err != nil {
					return head, err
				}
			}
			head = Head{Seq: row.Seq, MAC: row.MAC}
		}
		if len(rows) < together {
			return head, c.end()
		}
	}
}

// Check verifies rows from another source, such as a backup, as the complete chain of a
// tenant. The error is [keyring.ErrTampered] if an entry is modified or missing, or the
// error of find.
func Check(ctx context.Context, tenant string, find Find, rows []store.AuditRow) error {
	c := check{tenant: tenant}
	for _, row := range rows {
		if _, err := c.next(ctx, find, row); err != nil {
			return err
		}
	}
	return c.end()
}

// Page returns up to limit entries of a tenant's chain, the newest first, starting with
// number newest. limit must be 1 or more. The last page has fewer than limit entries.
//
// Page checks each entry against the previous one, unless a trim dropped the previous
// one. Only Verify checks the whole chain. A page with no entries is empty, without an
// error. The error is [keyring.ErrTampered] if an entry of the page is modified, or is
// missing although an earlier one exists, or the error of find or storage.
func (l *Log) Page(ctx context.Context, tenant string, find Find, newest int64, limit int) ([]Record, error) {
	// Numbers have no gaps. The entry before the page is read too, to check the
	// oldest entry of the page against it.
	oldest := max(newest-int64(limit)+1, 1)
	rows, err := l.store.Audit(ctx, tenant, max(oldest-2, 0), int(newest-oldest)+2)
	if err != nil {
		return nil, fmt.Errorf("reading from storage: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(row store.AuditRow) bool { return row.Seq > newest })
	if n := len(rows); n > 0 && rows[n-1].Seq != newest {
		return nil, fmt.Errorf("%w: entries before number %d are missing", keyring.ErrTampered, newest+1)
	}
	c := check{tenant: tenant}
	var records []Record
	for _, row := range rows {
		entry, err := c.next(ctx, find, row)
		if err != nil {
			return nil, err
		}
		if row.Seq >= oldest {
			records = append(records, Record{Seq: row.Seq, Entry: entry})
		}
	}
	slices.Reverse(records)
	return records, nil
}
