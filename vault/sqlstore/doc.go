// Package sqlstore keeps the rows of a vault in an SQL database that the caller
// opens, with the driver of the caller's choice.
//
//	db, err := sql.Open("sqlite", "/var/lib/platform/vault.db")
//	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite)
//	v, err := vault.New(ctx, store, keys, nil)
//
// [Open] creates the tables, or updates those of an earlier version. The caller owns
// db and closes it after the last use of the Store.
//
// # SQLite
//
// This needs SQLite 3.37 or later and a file on a local disk. Any number of
// processes of one machine may share the file. The vault must be the only user of
// the database and of db, because it changes settings of the connections. The
// database is in WAL mode. Every write is on the disk when it returns (synchronous
// FULL). Deleted content is overwritten in the database file (secure_delete), but
// remains in the WAL file until that is overwritten. A write waits for earlier
// writes, up to ten seconds; reads do not wait.
//
// # PostgreSQL
//
//	db, err := sql.Open("pgx", "postgres://platform@db.internal/platform")
//	store, err := sqlstore.Open(ctx, db, sqlstore.Postgres)
//
// Any number of processes on any machines may share a database. Its encoding must
// be UTF8. The tables are in the first schema of the search_path that has a vault;
// if none has one, they are created in the first schema that exists. So each schema
// can have its own vault. The names of the tables begin with satchel_, so other
// programs may use the schema and db too. Text is compared and ordered by its bytes,
// regardless of the database's collation. The package is tested with PostgreSQL 15
// and pgx.
//
// Writes of all processes are serialized, with a round trip for each statement, so
// the distance to the database limits the number of writes per second. A write waits
// for earlier writes, up to ten seconds; reads do not wait. Every write is on the
// server's disk when it returns, even if synchronous_commit is off by default. A
// transaction that the server aborts in favor of another (SQLSTATE 40001, 40P01) is
// retried a few times, and so is a transaction whose connection was dead before it
// began. During an outage of the database, operations return errors; afterwards they
// work again. If the connection breaks during a commit, the outcome is unknown, and
// the error reports that the write may have been stored.
package sqlstore
