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

// slow is a database, and its only connection, that ends transactions slowly.
type slow struct{ takes time.Duration }

func (s slow) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s slow) Driver() driver.Driver                        { return nil }
func (s slow) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("not used in these tests")
}
func (s slow) Begin() (driver.Tx, error) { return nil, errors.New("not used in these tests") }
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

// endOn runs a transaction on a slow database with a context of one second, and
// returns its duration.
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
		require.NoError(t, err, "it waits for a COMMIT that was sent")
		require.Equal(t, 4*time.Second, took)
	}
	took, err := endOn(t, &sqlite, time.Hour, good)
	require.NoError(t, err, "a file does not disappear, so COMMIT has no time limit")
	require.Equal(t, time.Hour, took)

	took, err = endOn(t, &postgres, time.Hour, good)
	require.ErrorIs(t, err, context.DeadlineExceeded, "a server may never respond")
	require.ErrorContains(t, err, "committing, with unknown outcome; the write may have been stored")
	require.Equal(t, time.Second+endWithin, took)

	broken := errors.New("it does not work")
	took, err = endOn(t, &postgres, time.Hour, func(*tx) error { return broken })
	require.ErrorIs(t, err, broken)
	require.Equal(t, time.Second+endWithin, took, "the same holds for ROLLBACK")
}
