package audit

import (
	"context"
	"fmt"
	"iter"

	"github.com/satchelhq/satchel/vault/store"
)

// Rows yields the rows of a tenant's chain in order, each verified against the previous
// one. The iteration ends with a zero row and an error if an entry is modified or missing
// ([keyring.ErrTampered]), or with the error of find or storage. As with Verify, the oldest
// entry after a trim is checked last.
func (l *Log) Rows(ctx context.Context, tenant string, find Find) iter.Seq2[store.AuditRow, error] {
	return func(yield func(store.AuditRow, error) bool) {
		c := check{tenant: tenant}
		var after int64
		for {
			rows, err := l.store.Audit(ctx, tenant, after, together)
			if err != nil {
				yield(store.AuditRow{}, fmt.Errorf("reading from storage: %w", err))
				return
			}
			for _, row := range rows {
				if _, err := c.next(ctx, find, row); err != nil {
					yield(store.AuditRow{}, err)
					return
				}
				if !yield(row, nil) {
					return
				}
				after = row.Seq
			}
			if len(rows) < together {
				if err := c.end(); err != nil {
					yield(store.AuditRow{}, err)
				}
				return
			}
		}
	}
}
