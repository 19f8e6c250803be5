// Package postgrestest gives tests a real PostgreSQL.
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Run(m)) }
//
//	db, err := sql.Open("pgx", postgrestest.Schema(t))
//
// [Schema] gives each test an empty schema in the database that the variable
// SATCHEL_POSTGRES names, as a URL or as keywords and values. Without the
// variable it starts a server of its own, from the programs that it finds in
// PATH or in /usr/lib/postgresql: on a Unix socket in a temporary folder, and
// gone when the tests end, however they end. Without these either the test is
// skipped, and fails if SATCHEL_TEST_FULL is 1.
//
// [Start] gives a test a server that it may stop and start.
package postgrestest
