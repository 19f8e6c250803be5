// Package sqlstore keeps the rows of a vault in an SQL database that the caller
// opens, with the driver of the caller's choice.
//
//	db, err := sql.Open("sqlite", "/var/lib/platform/vault.db")
//	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite)
//	v, err := vault.New(ctx, store, keys, nil)
//
// [Open] makes the tables, or brings those of an earlier version up to date.
// The database is the vault's alone, and so is db: its connections are set up
// for it. The caller keeps owning db and closes it after the last use of the
// Store.
//
// # SQLite
//
// It takes SQLite 3.37 or later, and a file on a local disk that any number of
// processes of one machine may share. The database is in WAL mode, every write
// is on the disk when it returns (synchronous FULL), and what is deleted is
// overwritten (secure_delete), although the WAL file keeps it until it is
// written over. A write waits for those before it, up to ten seconds; reads
// wait for nothing.
package sqlstore
