package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// Verify reads the chain of a tenant and checks that every entry is as it was
// written and that none is missing, and calls visit, unless it is nil, for each in
// order. It returns the newest entry, to be kept elsewhere; the zero Head is that
// of a tenant without entries. since is one that was kept before, or nil: the chain
// must still have it, unless it was trimmed.
//
// An entry that was edited, cut out or cut off is [keyring.ErrTampered]. Without
// since, entries that were cut off at the end cannot be noticed.
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

// Check checks rows that were read elsewhere, such as from a backup, as the whole
// chain of a tenant. The error for any that does not fit is
// [keyring.ErrTampered].
func Check(ctx context.Context, tenant string, find Find, rows []store.AuditRow) error {
	c := check{tenant: tenant}
	for _, row := range rows {
		if _, err := c.next(ctx, find, row); err != nil {
			return err
		}
	}
	return c.end()
}

// Page returns entries of a tenant's chain for people to read, the newest first:
// at most limit, which is 1 or more, with numbers up to newest. A page with fewer
// entries is the last.
//
// Each entry is checked against the one before it, unless that was trimmed; one
// that does not fit is [keyring.ErrTampered]. Only Verify checks the whole.
func (l *Log) Page(ctx context.Context, tenant string, find Find, newest int64, limit int) ([]Record, error) {
	// Numbers have no gaps. The entry before the page comes along, to check
	// the oldest against.
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
