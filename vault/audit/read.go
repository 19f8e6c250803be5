package audit

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// stored are the rows of a tenant's chain in a store.
type stored struct {
	store  store.Store
	tenant string
}

func (s stored) above(ctx context.Context, after int64, limit int) ([]store.AuditRow, error) {
	rows, err := s.store.Audit(ctx, s.tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("reading from storage: %w", err)
	}
	return rows, nil
}

func (s stored) newest(ctx context.Context) (int64, error) {
	head, err := readHead(ctx, s.store, s.tenant)
	if err != nil || head == nil {
		return 0, err
	}
	return head.Seq, checkSeq(head.Seq)
}

// readHead returns the newest row of a tenant's chain, or nil.
func readHead(ctx context.Context, s store.Store, tenant string) (*store.AuditRow, error) {
	snap, err := s.Read(ctx, store.Query{Scope: tenant, SealsOnly: true, AuditHead: true})
	if err != nil {
		return nil, fmt.Errorf("reading from storage: %w", err)
	}
	return snap.AuditHead, nil
}

// given are rows that are already in memory.
type given []store.AuditRow

func (g given) above(_ context.Context, after int64, limit int) ([]store.AuditRow, error) {
	from := sort.Search(len(g), func(i int) bool { return g[i].Seq > after })
	return g[from:min(from+limit, len(g))], nil
}

func (g given) newest(context.Context) (int64, error) {
	newest := g[len(g)-1].Seq
	return newest, checkSeq(newest)
}

// Verify checks that no entry of a tenant's chain is modified or missing. It calls
// visit, unless that is nil, for each entry in order, after checking it, and returns the
// head of the chain, to be kept outside the database; a tenant without entries has the
// zero Head.
//
// since is a head from an earlier call, or nil: the chain must still contain it, unless a
// trim dropped it. Without since, Verify cannot detect that the end of the chain was cut
// off.
//
// The error is [keyring.ErrTampered] if an entry is modified or missing, or the error of
// find, visit or storage.
func (l *Log) Verify(ctx context.Context, tenant string, find Find, since *Head, visit func(seq int64, e Entry) error) (Head, error) {
	var head Head
	for row, err := range l.walk(ctx, tenant, find, since) {
		if err == nil && visit != nil {
			err = visit(row.Seq, row.entry)
		}
		if err != nil {
			return head, err
		}
		head = Head{Seq: row.Seq, MAC: row.MAC}
	}
	return head, nil
}

// Rows yields the rows of a tenant's chain in order, each verified against the previous
// one, and the oldest after a trim against the entry of the trim. The iteration ends with
// a zero row and an error: [keyring.ErrTampered] if an entry is modified or missing,
// [store.ErrConflict] if a trim drops entries that were not yielded yet, or the error of
// find or storage.
func (l *Log) Rows(ctx context.Context, tenant string, find Find) iter.Seq2[store.AuditRow, error] {
	return func(yield func(store.AuditRow, error) bool) {
		var last int64
		for row, err := range l.walk(ctx, tenant, find, nil) {
			if err == nil && last > 0 && row.Seq != last+1 {
				err = fmt.Errorf("%w: the entries after number %d were dropped meanwhile", store.ErrConflict, last)
			}
			if err != nil {
				yield(store.AuditRow{}, err)
				return
			}
			if !yield(row.AuditRow, nil) {
				return
			}
			last = row.Seq
		}
	}
}

// verified is a row and its entry.
type verified struct {
	store.AuditRow
	entry Entry
}

// walk yields the verified rows of a tenant's chain in order. It ends with an error if
// there is one.
func (l *Log) walk(ctx context.Context, tenant string, find Find, since *Head) iter.Seq2[verified, error] {
	return func(yield func(verified, error) bool) {
		chain := stored{l.store, tenant}
		c := check{tenant: tenant, find: find, source: chain, since: since}
		var after int64
		for {
			rows, err := chain.above(ctx, after, together)
			for i := 0; i < len(rows) && err == nil; i++ {
				var entry Entry
				if entry, err = c.strict(ctx, &rows[i]); err == nil && !yield(verified{rows[i], entry}, nil) {
					return
				}
				after = rows[i].Seq
			}
			last := len(rows) < together
			if err == nil && last {
				err = c.end()
			}
			if err != nil {
				yield(verified{}, err)
			}
			if err != nil || last {
				return
			}
		}
	}
}

// Check verifies rows from another source, such as a backup, as the complete chain of a
// tenant. The error is [keyring.ErrTampered] if an entry is modified or missing, or the
// error of find.
func Check(ctx context.Context, tenant string, find Find, rows []store.AuditRow) error {
	c := check{tenant: tenant, find: find, source: given(rows)}
	for i := range rows {
		if i > 0 && rows[i].Seq != rows[i-1].Seq+1 {
			return missing(rows[i].Seq)
		}
		if _, err := c.strict(ctx, &rows[i]); err != nil {
			return err
		}
	}
	return c.end()
}

// Page returns up to limit entries of a tenant's chain, the newest first, starting with
// number newest. limit must be 1 or more. The last page has fewer than limit entries.
//
// Page checks each entry against the previous one. The oldest entry of the last page has
// none if its number is above 1: it is checked against the trim that dropped the entries
// before it, and is [Record].Unverified if there was no such trim. Only Verify checks the
// whole chain. A page with no entries is empty, without an error.
//
// The error is [keyring.ErrTampered] if an entry of the page is modified, or is missing
// although an earlier one exists, or the error of find or storage.
func (l *Log) Page(ctx context.Context, tenant string, find Find, newest int64, limit int) ([]Record, error) {
	if newest < 1 {
		return nil, nil
	}
	if err := checkSeq(newest); err != nil {
		return nil, err
	}
	// Numbers have no gaps. The entry before the page is read too, to check the
	// oldest entry of the page against it.
	oldest := newest - min(int64(limit), newest) + 1
	chain := stored{l.store, tenant}
	rows, err := chain.above(ctx, max(oldest-2, 0), int(newest-oldest)+2)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(row store.AuditRow) bool { return row.Seq > newest })
	if n := len(rows); n > 0 && rows[n-1].Seq != newest {
		return nil, fmt.Errorf("%w: entries before number %d are missing", keyring.ErrTampered, newest+1)
	}
	c := check{tenant: tenant, find: find, source: chain}
	if len(rows) > 0 && rows[0].Seq < oldest {
		c.last, rows = &rows[0], rows[1:]
	}
	var records []Record
	for _, row := range rows {
		first := c.last == nil
		entry, verified, err := c.next(ctx, &row)
		if err == nil && !verified && !first {
			err = missing(row.Seq)
		}
		if err != nil {
			return nil, err
		}
		records = append(records, Record{Seq: row.Seq, Unverified: !verified, Entry: entry})
	}
	slices.Reverse(records)
	return records, nil
}
