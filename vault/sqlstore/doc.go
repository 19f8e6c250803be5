// Package sqlstore keeps the rows of a vault in an SQL database that the caller
// opens, with the driver of the caller's choice.
//
//	db, err := sql.Open("sqlite", "/var/lib/platform/vault.db")
//	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite)
//	v, err := vault.New(ctx, store, keys, nil)
//
// [Open] makes the tables, or brings those of an earlier version up to date.
// The caller keeps owning db and closes it after the last use of the Store.
//
// # SQLite
//
// It takes SQLite 3.37 or later, and a file on a local disk that any number of
// processes of one machine may share. The database is the vault's alone, and so
// is db: its connections are set up for it. The database is in WAL mode, every
// write is on the disk when it returns (synchronous FULL), and what is deleted
// is overwritten (secure_delete), although the WAL file keeps it until it is
// written over. A write waits for those before it, up to ten seconds; reads
// wait for nothing.
//
// # PostgreSQL
//
//	db, err := sql.Open("pgx", "postgres://platform@db.internal/platform")
//	store, err := sqlstore.Open(ctx, db, sqlstore.Postgres)
//
// Any number of processes on any machines may share a database, which has to be
// in UTF8. The tables are in the first schema of the search_path that has a
// vault, or, where none has, are made in the first one that exists; so there
// can be a vault in each schema. Their names begin with satchel_: others may
// use the schema, and db, too. Text is compared and ordered by its bytes,
// whatever the database's own collation. It was tested with PostgreSQL 15,
// through pgx.
//
// Writes of all processes take turns, a round trip for each statement: it is
// the distance to the database that limits how many there are in a second. A
// write waits for those before it, up to ten seconds; reads wait for nothing.
// Every write is on the server's disk when it returns, also where
// synchronous_commit is off by default. A transaction that the server gives up
// for the sake of another (SQLSTATE 40001, 40P01) is tried again a few times,
// and so is one whose connection turns out to be dead before it began. While
// the database is away, operations return errors; they work again when it is
// back. If the connection breaks while a write is being committed, the error
// says that it may have been stored: there is nobody left to ask.
package sqlstore
