// Package postgrestest provides real PostgreSQL databases for tests.
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Run(m)) }
//
//	db, err := sql.Open("pgx", postgrestest.Schema(t))
//
// [Schema] creates an empty schema for each test, in the database of the environment
// variable SATCHEL_POSTGRES: a URL, or keywords and values. Without the variable, it
// starts a server with the programs in PATH or in /usr/lib/postgresql. The server
// listens on a Unix socket in a temporary folder and ends with the tests; on Linux
// also if their process is killed. Without these programs, the test is skipped, or
// fails if SATCHEL_TEST_FULL is 1.
//
// On Linux, the folder is in /dev/shm if that has 1 GiB of free memory and TMPDIR is
// not set. The next server there removes the folders of processes that were killed.
//
// [Start] starts a separate server that the test may stop and start. [Server.Standby]
// adds a standby to it, and [Server.PgBouncer] a pooler in transaction mode.
package postgrestest
