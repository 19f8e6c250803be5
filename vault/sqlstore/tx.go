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
	// attempts bounds how often a transaction is tried that failed for no
	// reason of its own.
	attempts = 10
	// endWithin bounds how long a transaction may take to end after its
	// context, where the database may never answer.
	endWithin = 5 * time.Second
)

// tx is a transaction on one connection.
//
// It is not a *sql.Tx, because database/sql has no way to ask every driver for
// a transaction that takes the write lock when it begins.
type tx struct {
	conn  *sql.Conn
	store *Store
}

// stage says how far a transaction came.
type stage int

const (
	connecting stage = iota
	beginning
	begun
)

// inTx runs do in a transaction that the statements of begin start, and commits
// it if do returns nil. However it ends, the connection goes back without a
// transaction. do may be called several times; only the last time counts.
func (s *Store) inTx(ctx context.Context, begin []string, do func(*tx) error) (err error) {
	defer func() {
		// Not every driver says that it stopped because of the context.
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
			discard(conn) // it may have begun
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
			return begun, fmt.Errorf("committing, and the database may have done so before this: %w", err)
		}
		return begun, fmt.Errorf("committing: %w", err)
	}
	committed = true
	return begun, nil
}

// ending returns the context of what ends a transaction. That must not be cut
// short by the end of ctx: nobody would know how the transaction ended. release
// is called after it.
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

// exec runs a statement and returns how many rows it changed. what names the
// operation and the table, for the error.
func (x *tx) exec(ctx context.Context, what, query string, args ...any) (changed int64, err error) {
	if err := ctx.Err(); err != nil { // some drivers close a connection for it
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

// expect is exec for a statement that changes a row if what the caller expects
// of it holds, and otherwise none. Then the error is ErrConflict.
func (x *tx) expect(ctx context.Context, what, query string, args ...any) error {
	changed, err := x.exec(ctx, what, query, args...)
	if err == nil && changed == 0 {
		err = fmt.Errorf("%s: %w", what, store.ErrConflict)
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
