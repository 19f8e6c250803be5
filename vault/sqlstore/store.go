package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/satchelhq/satchel/vault/store"
)

// Dialect is the kind of database behind a *sql.DB. The zero Dialect is invalid.
type Dialect int

const (
	// SQLite is SQLite 3.37 or later, in a file. See the package comment.
	SQLite Dialect = 1 + iota
	// Postgres is PostgreSQL. See the package comment.
	Postgres
)

// dialect holds the differences between databases. The statements elsewhere in this
// package are the same for all; see Store.statement.
type dialect struct {
	// beginRead and beginWrite configure a connection and begin a transaction. A
	// reader sees a single state of the database.
	beginRead, beginWrite []string
	// lockWriters and lockTables wait for all other transactions that write rows or
	// change tables. They are empty if beginWrite does so. Apply does not need
	// lockWriters because its first statement has the same effect.
	lockWriters, lockTables string
	// locate returns the schema of existing or new tables.
	locate func(context.Context, *tx) (schema string, err error)
	// parameter and table return the SQL for the n-th parameter, counted from 1,
	// and for the name of a table.
	parameter func(n int) string
	table     func(schema, name string) string
	// bytes is the SQL for a parameter with bytes where its type cannot be inferred.
	bytes string
	// tenant returns the SQL for the first segment of a scope in a column.
	tenant func(column string) string
	// version returns the number of migrations applied to a database. It refuses a
	// database in which another program's tables have the names of the vault's.
	version func(context.Context, *tx) (int, error)
	// prepare makes an empty database, or one of a known version, ready for
	// transactions.
	prepare func(context.Context, *sql.DB) error
	// migrations lead from an empty database to the current tables. Released
	// migrations must not change.
	migrations []string
	// again reports whether a transaction that reached stage and failed with err had
	// no effect and may be retried. It may be nil.
	again func(err error, stage stage) bool
	// explain returns an error of beginning a transaction, with its fix if that is
	// known. It may be nil.
	explain func(error) error
	// remote is true if a connection can break while the database keeps running.
	remote bool
}

var dialects = map[Dialect]*dialect{
	SQLite:   &sqlite,
	Postgres: &postgres,
}

// Store is a [store.Store] in an SQL database. It is safe for concurrent use,
// and several processes may open the same database.
//
// Its errors wrap store.ErrConflict, errors of the context and errors of the driver.
// In addition to the driver's text, they name the operation and the table.
type Store struct {
	db         *sql.DB
	dialect    *dialect
	schema     string
	statements sync.Map // from statements of this package to those of the dialect
}

var _ store.Store = (*Store)(nil)

// Open returns the store in db, after creating or updating its tables. Several
// processes may do so concurrently. Open refuses, and does not change, a database in
// which another program's tables have the names of the vault's, a database written by
// a later version of this package, and an SQLite database in memory.
//
// The caller owns db and must not close it while the Store is in use.
func Open(ctx context.Context, db *sql.DB, d Dialect) (*Store, error) {
	s, err := newStore(db, d)
	if err == nil {
		err = s.open(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the vault's database: %w", err)
	}
	return s, nil
}

// Exists reports whether db has the tables of a vault, which the first [Open] creates.
// It changes nothing, but SQLite creates a missing file. A program can use it to refuse
// an empty database where there must be data: a wrong name, a volume that is not
// mounted, a search_path that leads elsewhere, or a copy of an SQLite file without the
// file that ends in -wal. Exists fails where Open refuses the tables.
func Exists(ctx context.Context, db *sql.DB, d Dialect) (bool, error) {
	s, err := newStore(db, d)
	var version int
	if err == nil {
		version, err = s.look(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("looking for a vault in the database: %w", err)
	}
	return version > 0, nil
}

// newStore returns a store that is not open yet.
func newStore(db *sql.DB, d Dialect) (*Store, error) {
	if dialects[d] == nil {
		return nil, fmt.Errorf("unknown dialect %d; use sqlstore.SQLite or sqlstore.Postgres", int(d))
	}
	if db == nil {
		return nil, errors.New("the *sql.DB is nil; open one with sql.Open")
	}
	return &Store{db: db, dialect: dialects[d]}, nil
}

func (s *Store) open(ctx context.Context) error {
	// Check that this database belongs to the vault before changing anything.
	version, err := s.look(ctx)
	if err != nil {
		return err
	}
	if err := s.dialect.prepare(ctx, s.db); err != nil {
		return err
	}
	if version == len(s.dialect.migrations) {
		return nil
	}
	return s.inTx(ctx, s.dialect.beginWrite, func(x *tx) error { return s.migrate(ctx, x) })
}

// look finds the schema, and returns the version of its tables: 0 if there are none.
func (s *Store) look(ctx context.Context) (version int, err error) {
	err = s.inTx(ctx, s.dialect.beginRead, func(x *tx) (err error) {
		s.statements.Clear() // they may name the schema of an earlier attempt
		if s.schema, err = s.dialect.locate(ctx, x); err != nil {
			return err
		}
		version, err = s.version(ctx, x)
		return err
	})
	return version, err
}

func (s *Store) migrate(ctx context.Context, x *tx) error {
	if s.dialect.lockTables != "" {
		if _, err := x.exec(ctx, "waiting for other updates of the tables", s.dialect.lockTables); err != nil {
			return err
		}
	}
	done, err := s.version(ctx, x) // another process may have been faster
	if err != nil {
		return err
	}
	for i, migration := range s.dialect.migrations[done:] {
		version := done + i + 1
		what := fmt.Sprintf("updating the tables to version %d", version)
		if _, err := x.exec(ctx, what, migration); err != nil {
			return err
		}
		if _, err := x.exec(ctx, what, "INSERT INTO [satchel_schema] (version, applied) VALUES (?, ?)", int64(version), time.Now().UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}

// version returns the version of the tables, and refuses one later than it knows.
func (s *Store) version(ctx context.Context, x *tx) (int, error) {
	version, err := s.dialect.version(ctx, x)
	if err != nil {
		return 0, err
	}
	if known := len(s.dialect.migrations); version > known {
		return 0, fmt.Errorf("its tables have version %d, but this program supports versions only up to %d; update the program", version, known)
	}
	return version, nil
}
