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

// Dialect says which database is behind a *sql.DB.
type Dialect int

const (
	// SQLite is an SQLite file. See the package comment.
	SQLite Dialect = 1 + iota
	// Postgres is a PostgreSQL database. See the package comment.
	Postgres
)

// dialect is what differs between databases. The statements elsewhere in this
// package are the same for all; see Store.statement.
type dialect struct {
	// beginRead and beginWrite start a transaction on a connection, after they
	// have set the connection up for it. A reader sees one state of the
	// database.
	beginRead, beginWrite []string
	// lockWriters and lockTables make a transaction wait for all others that
	// write rows or change tables, where beginWrite does not. Apply has no
	// need of lockWriters: its first statement does the same.
	lockWriters, lockTables string
	// locate returns the schema that the tables are in, or will be.
	locate func(context.Context, *sql.DB) (schema string, err error)
	// parameter and table return how a statement writes its n-th parameter,
	// from 1, and the name of a table.
	parameter func(n int) string
	table     func(schema, name string) string
	// version returns how many of the migrations a database has had. It
	// refuses one that has tables in the vault's place.
	version func(context.Context, *tx) (int, error)
	// prepare makes an empty database, or one of a known version, ready for
	// its first transaction.
	prepare func(context.Context, *sql.DB) error
	// migrations lead from nothing to the present tables. Those that were ever
	// released stay as they are.
	migrations []string
	// again reports whether a transaction that came as far as stage and failed
	// with err has left nothing behind and may succeed if it is tried again.
	again func(err error, stage stage) bool
	// remote says that a connection can break while the database goes on.
	remote bool
}

var dialects = map[Dialect]*dialect{
	SQLite:   &sqlite,
	Postgres: &postgres,
}

// Store is a [store.Store] in an SQL database. It is safe for concurrent use,
// and several processes may open the same database.
//
// Its errors wrap store.ErrConflict, those of the context, and those of the
// driver. Beside what the driver says they name the operation and the table.
type Store struct {
	db         *sql.DB
	dialect    *dialect
	schema     string
	statements sync.Map // from what is written in this package to what the database takes
}

var _ store.Store = (*Store)(nil)

// Open returns the store in db, after it has made or updated the tables there.
// Several processes may do that at the same time. It refuses, and leaves as it
// is, a database with other tables in the place of the vault's, one that was
// written by a later version of this package, and an SQLite database that is
// only in memory.
//
// The caller keeps owning db.
func Open(ctx context.Context, db *sql.DB, d Dialect) (*Store, error) {
	s := &Store{db: db, dialect: dialects[d]}
	if s.dialect == nil {
		return nil, fmt.Errorf("opening the vault's database: unknown dialect %d; use sqlstore.SQLite or sqlstore.Postgres", int(d))
	}
	if db == nil {
		return nil, errors.New("opening the vault's database: the *sql.DB is nil; open one with sql.Open")
	}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("opening the vault's database: %w", err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.schema, err = s.dialect.locate(ctx, s.db); err != nil {
		return err
	}
	// Before anything is changed, see whether it is ours to change.
	var version int
	err = s.inTx(ctx, s.dialect.beginRead, func(x *tx) error {
		version, err = s.version(ctx, x)
		return err
	})
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

func (s *Store) migrate(ctx context.Context, x *tx) error {
	if s.dialect.lockTables != "" {
		if _, err := x.exec(ctx, "waiting for others that update the tables", s.dialect.lockTables); err != nil {
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

// version returns the version of the tables, and refuses one from the future.
func (s *Store) version(ctx context.Context, x *tx) (int, error) {
	version, err := s.dialect.version(ctx, x)
	if err != nil {
		return 0, err
	}
	if known := len(s.dialect.migrations); version > known {
		return 0, fmt.Errorf("its tables are of version %d, and this program knows them up to version %d: it was written by a later version of Satchel; update this program", version, known)
	}
	return version, nil
}
