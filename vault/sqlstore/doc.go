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
// retried a few times, and so is a transaction whose connection was dead, or led to a
// standby, before it began. During an outage of the database, operations return errors;
// afterwards they work again. If the connection breaks during a commit, the outcome is
// unknown, and the error reports that the write may have been stored.
//
// A standby answers no operation, not even a read: its rows may be older than those
// that the primary has returned, and a vault would report a rollback (vault.ErrRollback).
// The failover to a standby that had not received the last acknowledged writes is such a
// rollback, and is reported. To exclude it, replicate synchronously.
//
// Settings of the caller's db matter:
//
//   - Bound the pool with SetMaxOpenConns, below the server's max_connections: each
//     request for a bundle takes a connection. A process with 20 serves thousands of
//     runners.
//   - Set a SetConnMaxLifetime of some minutes. After a failover by name, connections
//     to the former primary otherwise live on.
//   - Connect only to servers that accept writes, for pgx with
//     target_session_attrs=read-write. Only then can the address have several hosts.
//   - Behind a pooler in transaction mode, such as PgBouncer, statements must have no
//     names: for pgx, add default_query_exec_mode=cache_describe to the address. The
//     server then plans each statement when it runs, which takes about a quarter more
//     time for a poll. Everything else that this package uses ends with its transaction.
//     LISTEN does not: connect to the server itself for the signals of
//     vault.Options.Wake. PgBouncer refuses a search_path in the address; set that of
//     the role.
//   - pgx reads the files that its address names, such as passfile and sslrootcert, for
//     each connection of sql.Open, but only once for those of stdlib.OpenDB.
package sqlstore
