package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/satchelhq/satchel/vault"
)

// Dialect says which database is behind a *sql.DB.
type Dialect int

const (
	// SQLite is an SQLite file. See the package comment.
	SQLite Dialect = 1 + iota
)

// dialect is what differs between databases. The statements elsewhere in this
// package are the same for all.
type dialect struct {
	// beginRead and beginWrite start a transaction on a connection, after they
	// have set the connection up for it. A reader sees one state of the
	// database. Of writers one is at work at a time, so that the numbers of
	// changes rise in the order of their commits.
	beginRead, beginWrite []string
	// version returns how many of the migrations a database has had. It
	// refuses one that is not empty and not the vault's.
	version func(context.Context, *tx) (int, error)
	// prepare makes an empty database, or one of a known version, ready for
	// its first transaction.
	prepare func(context.Context, *sql.DB) error
	// migrations lead from an empty database to the present tables. Those that
	// were ever released stay as they are.
	migrations []string
}

var dialects = map[Dialect]*dialect{
	SQLite: &sqlite,
}

// Store is a [vault.Storage] in an SQL database. It is safe for concurrent use,
// and several processes may open the same database.
//
// Its errors wrap vault.ErrConflict, those of the context, and those of the
// driver. Beside what the driver says they name the operation and the table.
type Store struct {
	db      *sql.DB
	dialect *dialect
}

var _ vault.Storage = (*Store)(nil)

// Open returns the store in db, after it has made or updated the tables there.
// Several processes may do that at the same time. It refuses, and leaves as it
// is, a database with other tables than the vault's, one that was written by a
// later version of this package, and one that is only in memory.
//
// The caller keeps owning db.
func Open(ctx context.Context, db *sql.DB, d Dialect) (*Store, error) {
	s := &Store{db: db, dialect: dialects[d]}
	if s.dialect == nil {
		return nil, fmt.Errorf("opening the vault's database: unknown dialect %d; use sqlstore.SQLite", int(d))
	}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("opening the vault's database: %w", err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	// Before anything is changed, see whether it is ours to change.
	err := s.inTx(ctx, s.dialect.beginRead, func(x *tx) error {
		_, err := s.version(ctx, x)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.dialect.prepare(ctx, s.db); err != nil {
		return err
	}
	return s.inTx(ctx, s.dialect.beginWrite, func(x *tx) error {
		// Another process may have been faster.
		done, err := s.version(ctx, x)
		if err != nil {
			return err
		}
		for i, migration := range s.dialect.migrations[done:] {
			version := done + i + 1
			what := fmt.Sprintf("updating the tables to version %d", version)
			if _, err := x.exec(ctx, what, migration); err != nil {
				return err
			}
			if _, err := x.exec(ctx, what, "INSERT INTO satchel_schema (version, applied) VALUES (?, ?)", version, time.Now().UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
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
