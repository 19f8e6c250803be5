package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/satchelhq/satchel/vault"
)

// tx is a transaction on one connection.
//
// It is not a *sql.Tx, because database/sql has no way to ask every driver for
// a transaction that takes the write lock when it begins.
type tx struct {
	conn *sql.Conn
}

// inTx runs do in a transaction that the statements of begin start, and commits
// it if do returns nil. However it ends, the connection goes back without a
// transaction.
func (s *Store) inTx(ctx context.Context, begin []string, do func(*tx) error) (err error) {
	defer func() {
		// Not every driver says that it stopped because of the context.
		if over := ctx.Err(); err != nil && over != nil && !errors.Is(err, over) && !errors.Is(err, vault.ErrConflict) {
			err = fmt.Errorf("%w: %w", over, err)
		}
	}()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close()
	for _, statement := range begin {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			discard(conn) // it may have begun
			return fmt.Errorf("beginning a transaction: %w", err)
		}
	}
	// What ends a transaction must not be cut short by the end of ctx: after
	// that nobody would know how it ended.
	end := context.WithoutCancel(ctx)
	committed := false
	defer func() {
		if committed {
			return
		}
		if _, err := conn.ExecContext(end, "ROLLBACK"); err != nil {
			discard(conn)
		}
	}()
	if err := do(&tx{conn}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := conn.ExecContext(end, "COMMIT"); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	committed = true
	return nil
}

// discard closes a connection that may have a transaction open.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

// exec runs a statement and returns how many rows it changed. what names the
// operation and the table, for the error.
func (x *tx) exec(ctx context.Context, what, query string, args ...any) (changed int64, err error) {
	result, err := x.conn.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	if changed, err = result.RowsAffected(); err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return changed, nil
}

// expect is exec for a statement that changes a row if what the caller expects
// of it holds, and otherwise none. Then the error is ErrConflict.
func (x *tx) expect(ctx context.Context, what, query string, args ...any) error {
	changed, err := x.exec(ctx, what, query, args...)
	if err == nil && changed == 0 {
		err = fmt.Errorf("%s: %w", what, vault.ErrConflict)
	}
	return err
}

// require is exec for a statement that changes a row if it is there.
func (x *tx) require(ctx context.Context, what, query string, args ...any) error {
	changed, err := x.exec(ctx, what, query, args...)
	if err == nil && changed == 0 {
		err = fmt.Errorf("%s: it is not stored", what)
	}
	return err
}

// query calls row for each row of the answer. row calls its argument with the
// places to put the columns.
func (x *tx) query(ctx context.Context, what, query string, args []any, row func(scan func(...any) error) error) error {
	rows, err := x.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
