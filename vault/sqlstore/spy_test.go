package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// spy is the SQLite driver with somebody who looks on and interferes.
type spy struct {
	file   string
	driver driver.Driver
	closed atomic.Int32 // connections

	// around is called for each statement. run carries it out.
	around func(ctx context.Context, query string, run func() error) error
}

// openSpied returns a pool of at most one connection, so that one that is not
// given back is missed.
func openSpied(t testing.TB, file string) (*sql.DB, *spy) {
	t.Helper()
	s := &spy{file: file, driver: openDB(t, file).Driver()}
	db := sql.OpenDB(s)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, s
}

func (s *spy) Driver() driver.Driver { return s.driver }

func (s *spy) Connect(context.Context) (driver.Conn, error) {
	conn, err := s.driver.Open(s.file)
	return &spyConn{conn, s}, err
}

type spyConn struct {
	driver.Conn
	spy *spy
}

func (c *spyConn) watch(ctx context.Context, query string, run func() error) error {
	if c.spy.around == nil {
		return run()
	}
	return c.spy.around(ctx, query, run)
}

func (c *spyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.watch(ctx, query, func() (err error) {
		result, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

func (c *spyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.watch(ctx, query, func() (err error) {
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

func (c *spyConn) IsValid() bool { return c.Conn.(driver.Validator).IsValid() }

func (c *spyConn) Close() error {
	c.spy.closed.Add(1)
	return c.Conn.Close()
}
