package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// slow is a database, and a connection to it, that takes its time to end a
// transaction.
type slow struct{ takes time.Duration }

func (s slow) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s slow) Driver() driver.Driver                        { return nil }
func (s slow) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("not a part of these tests")
}
func (s slow) Begin() (driver.Tx, error) { return nil, errors.New("not a part of these tests") }
func (s slow) Close() error              { return nil }

func (s slow) ExecContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	if query != "COMMIT" && query != "ROLLBACK" {
		return driver.ResultNoRows, nil
	}
	select {
	case <-time.After(s.takes):
		return driver.ResultNoRows, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// endOn runs a transaction on a slow database under a context that is over
// after a second, and returns how long it took.
func endOn(t *testing.T, d *dialect, takes time.Duration, do func(*tx) error) (took time.Duration, err error) {
	synctest.Test(t, func(t *testing.T) {
		db := sql.OpenDB(slow{takes})
		defer db.Close()
		s := &Store{db: db, dialect: d}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err = s.inTx(ctx, d.beginWrite, do)
		took = time.Since(start)
	})
	return took, err
}

func TestEnding(t *testing.T) {
	good := func(*tx) error { return nil }
	for _, d := range []*dialect{&sqlite, &postgres} {
		took, err := endOn(t, d, 4*time.Second, good)
		require.NoError(t, err, "a COMMIT that was sent is waited for")
		require.Equal(t, 4*time.Second, took)
	}
	took, err := endOn(t, &sqlite, time.Hour, good)
	require.NoError(t, err, "a file does not go away, so COMMIT has all the time that it needs")
	require.Equal(t, time.Hour, took)

	took, err = endOn(t, &postgres, time.Hour, good)
	require.ErrorIs(t, err, context.DeadlineExceeded, "a server may never answer")
	require.ErrorContains(t, err, "committing, and the database may have done so before this")
	require.Equal(t, time.Second+endWithin, took)

	broken := errors.New("it does not work")
	took, err = endOn(t, &postgres, time.Hour, func(*tx) error { return broken })
	require.ErrorIs(t, err, broken)
	require.Equal(t, time.Second+endWithin, took, "nor to a ROLLBACK")
}
