package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/satchelhq/satchel/vault/store"
)

const (
	// attempts is the number of attempts of a transaction that may be retried. It is
	// more than the connections of a usual pool, all of which may be dead.
	attempts = 25
	// endWithin is the time that a remote database has to end a transaction after
	// its context is done.
	endWithin = 5 * time.Second
)

// tx is a transaction on one connection.
//
// It is not a *sql.Tx because database/sql has no portable option for a transaction
// that takes the write lock when it begins.
type tx struct {
	conn  *sql.Conn
	store *Store
}

// stage is the progress of a transaction.
type stage int

const (
	connecting stage = iota
	beginning
	begun
)

// inTx runs do in a transaction that the statements of begin start, and commits it
// if do returns nil. The connection always returns to the pool without an open
// transaction. do may be called several times; only the last call counts.
func (s *Store) inTx(ctx context.Context, begin []string, do func(*tx) error) (err error) {
	defer func() {
		// Not every driver returns the error of the context.
		if over := ctx.Err(); err != nil && over != nil && !errors.Is(err, over) && !errors.Is(err, store.ErrConflict) {
			err = fmt.Errorf("%w: %w", over, err)
		}
	}()
	for attempt := 1; ; attempt++ {
		came, err := s.tryTx(ctx, begin, do)
		if err == nil || attempt == attempts || ctx.Err() != nil || s.dialect.again == nil || !s.dialect.again(err, came) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(time.Duration(attempt) * 5 * time.Millisecond)):
		}
	}
}

// tryTx is one attempt of inTx.
func (s *Store) tryTx(ctx context.Context, begin []string, do func(*tx) error) (came stage, err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return connecting, fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close()
	for _, statement := range begin {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			discard(conn) // the transaction may have begun
			if s.dialect.explain != nil {
				err = s.dialect.explain(err)
			}
			return beginning, fmt.Errorf("beginning a transaction: %w", err)
		}
	}
	end, release := s.ending(ctx)
	defer release()
	committed := false
	defer func() {
		if committed {
			return
		}
		if _, err := conn.ExecContext(end, "ROLLBACK"); err != nil {
			discard(conn)
		}
	}()
	if err := do(&tx{conn, s}); err != nil {
		return begun, err
	}
	if err := ctx.Err(); err != nil {
		return begun, err
	}
	if _, err := conn.ExecContext(end, "COMMIT"); err != nil {
		if s.dialect.remote {
			return begun, fmt.Errorf("committing, with unknown outcome; the write may have been stored: %w", err)
		}
		return begun, fmt.Errorf("committing: %w", err)
	}
	committed = true
	return begun, nil
}

// ending returns the context for COMMIT or ROLLBACK. It outlives ctx, because an
// interrupted COMMIT has an unknown outcome. The caller calls release afterwards.
func (s *Store) ending(ctx context.Context) (end context.Context, release func()) {
	end = context.WithoutCancel(ctx)
	if !s.dialect.remote {
		return end, func() {}
	}
	end, cancel := context.WithCancel(end)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(endWithin, cancel) })
	return end, func() {
		stop()
		cancel()
	}
}

// discard closes a connection that may have a transaction open.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

// exec runs a statement and returns the number of rows it changed. The error begins
// with what, which names the operation and the table.
func (x *tx) exec(ctx context.Context, what, query string, args ...any) (changed int64, err error) {
	if err := ctx.Err(); err != nil { // some drivers would close the connection
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	result, err := x.conn.ExecContext(ctx, x.store.statement(query), args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	if changed, err = result.RowsAffected(); err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return changed, nil
}

// lockWriters waits for all other transactions that write rows, if beginning the
// transaction has not done so.
func (x *tx) lockWriters(ctx context.Context) error {
	if x.store.dialect.lockWriters == "" {
		return nil
	}
	_, err := x.exec(ctx, "waiting for other writers", x.store.dialect.lockWriters)
	return err
}

// expect is exec for a statement that changes a row only in the expected state. If it
// changes none, the error is ErrConflict.
func (x *tx) expect(ctx context.Context, what, query string, args ...any) error {
	changed, err := x.exec(ctx, what, query, args...)
	if err == nil && changed == 0 {
		err = fmt.Errorf("%s: %w", what, store.ErrConflict)
	}
	return err
}

// require is exec for a statement that must change a row.
func (x *tx) require(ctx context.Context, what, query string, args ...any) error {
	changed, err := x.exec(ctx, what, query, args...)
	if err == nil && changed == 0 {
		err = fmt.Errorf("%s: the row is missing", what)
	}
	return err
}

// requireAll is exec for a statement that must change n rows.
func (x *tx) requireAll(ctx context.Context, n int, what, query string, args ...any) error {
	changed, err := x.exec(ctx, what, query, args...)
	if err == nil && changed != int64(n) {
		err = fmt.Errorf("%s: a row is missing", what)
	}
	return err
}

// query runs a query and calls row for each row of the result. row calls scan with
// pointers for the columns.
func (x *tx) query(ctx context.Context, what, query string, args []any, row func(scan func(...any) error) error) error {
	if err := ctx.Err(); err != nil { // as in exec
		return fmt.Errorf("%s: %w", what, err)
	}
	rows, err := x.conn.QueryContext(ctx, x.store.statement(query), args...)
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
