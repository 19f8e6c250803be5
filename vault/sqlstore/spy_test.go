package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// spy is a driver that lets a test observe statements and interfere with them.
type spy struct {
	name   string // of the data source
	driver driver.Driver
	closed atomic.Int32        // connections
	last   *spyConn            // which ran the last statement
	args   []driver.NamedValue // of the last statement

	// around is called for each statement; run executes it.
	around func(ctx context.Context, query string, run func() error) error
}

// openSpied returns a pool with the driver of db over a data source. It has at most
// one connection, so that a leaked connection blocks the test.
func openSpied(t testing.TB, db *sql.DB, name string) (*sql.DB, *spy) {
	t.Helper()
	s := &spy{name: name, driver: db.Driver()}
	db = sql.OpenDB(s)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, s
}

func (s *spy) Driver() driver.Driver { return s.driver }

func (s *spy) Connect(context.Context) (driver.Conn, error) {
	conn, err := s.driver.Open(s.name)
	if err != nil {
		return nil, err
	}
	return &spyConn{conn, s}, nil
}

type spyConn struct {
	driver.Conn
	spy *spy
}

func (c *spyConn) watch(ctx context.Context, query string, args []driver.NamedValue, run func() error) error {
	c.spy.last, c.spy.args = c, args
	if c.spy.around == nil {
		return run()
	}
	return c.spy.around(ctx, query, run)
}

func (c *spyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.watch(ctx, query, args, func() (err error) {
		result, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

func (c *spyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.watch(ctx, query, args, func() (err error) {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	if err != nil && rows != nil {
		rows.Close()
		rows = nil
	}
	return rows, err
}

func (c *spyConn) ResetSession(ctx context.Context) error {
	return c.Conn.(driver.SessionResetter).ResetSession(ctx)
}

func (c *spyConn) IsValid() bool {
	v, ok := c.Conn.(driver.Validator)
	return !ok || v.IsValid()
}

func (c *spyConn) Close() error {
	c.spy.closed.Add(1)
	return c.Conn.Close()
}
