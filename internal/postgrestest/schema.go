package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/satchelhq/satchel/internal/testenv"
)

// Variable is the environment variable with the data source name of an existing
// database for [Schema]. Default: Schema starts a server.
const Variable = "SATCHEL_POSTGRES"

// shared is the server of all tests of a package.
var shared struct {
	sync.Mutex
	running bool // within Run
	server  *Server
	err     error // why there is no server
}

// Run runs the tests of a package, stops the server that [Schema] started for them,
// and returns the exit code. TestMain must call it if the package uses Schema.
func Run(m *testing.M) int {
	shared.Lock()
	shared.running = true
	shared.Unlock()
	defer func() {
		shared.Lock()
		defer shared.Unlock()
		shared.running = false
		if shared.server != nil {
			shared.server.remove()
			shared.server = nil
		}
	}()
	return m.Run()
}

// Schema returns a data source name for pgx. Its search_path is a new empty schema,
// which is dropped after the test. Other processes may use it while the test runs.
// Without PostgreSQL, Schema skips or fails the test; see the package comment.
func Schema(t testing.TB) string {
	t.Helper()
	dsn := os.Getenv(Variable)
	if dsn == "" {
		dsn = sharedDSN(t)
	}
	name := "satchel_test_" + strings.ToLower(rand.Text())
	run(t, dsn, "CREATE SCHEMA "+name)
	t.Cleanup(func() { run(t, dsn, "SET lock_timeout = '20s'; DROP SCHEMA "+name+" CASCADE") })
	return With(dsn, "search_path", name)
}

func sharedDSN(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.running {
		t.Fatal("postgrestest: TestMain must call postgrestest.Run, so that the server ends with the tests")
	}
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = newServer(false)
	}
	if shared.err != nil {
		unavailable(t, shared.err)
	}
	return shared.server.DSN()
}

// run runs statements on a new connection.
func run(t testing.TB, dsn, statements string) {
	t.Helper()
	if err := try(dsn, statements); err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
}

// try is run without a test.
func try(dsn, statements string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the context of a test is done in its cleanup
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statements); err != nil {
		return fmt.Errorf("%s: %w", statements, err)
	}
	return nil
}

// errNoServer means that the machine has no PostgreSQL.
var errNoServer = errors.New("no PostgreSQL: install its server (apt-get install postgresql), or set " + Variable + " to the URL of a database for tests")

// unavailable skips the test if there is no PostgreSQL and tests may be skipped, and
// fails it otherwise.
func unavailable(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errNoServer) {
		testenv.Lacks(t, "postgrestest: %v", err)
	}
	t.Fatalf("postgrestest: %v", err)
}

// With returns dsn with an additional setting, of pgx or of the server's connections.
// It accepts a URL or keywords and values.
func With(dsn, name, value string) string {
	if !strings.Contains(dsn, "://") {
		return dsn + " " + name + "='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
	}
	base, query, _ := strings.Cut(dsn, "?")
	settings, err := url.ParseQuery(query)
	if err != nil {
		return dsn // pgx reports the error
	}
	settings.Set(name, value)
	return base + "?" + strings.ReplaceAll(settings.Encode(), "+", "%20") // pgx does not decode a plus as a space
}
