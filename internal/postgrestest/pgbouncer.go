package postgrestest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/satchelhq/satchel/internal/testenv"
)

// PgBouncer starts a PgBouncer in transaction mode before s, with four connections to
// it, and returns its data source name for pgx. It ends after the test. The program is
// in PATH or in /usr/sbin; without it, PgBouncer skips or fails the test, as [Schema]
// does without PostgreSQL.
func (s *Server) PgBouncer(t testing.TB) (dsn string) {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/pgbouncer") // not in the PATH of every user
	}
	if err != nil {
		testenv.Lacks(t, "postgrestest: no PgBouncer: install it (apt-get install pgbouncer)")
	}
	dir, lock, err := createFolder(true)
	if err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
	pooler := &Server{dir: dir, lock: lock, as: s.as}
	t.Cleanup(func() {
		_ = pooler.end(syscall.SIGTERM)
		pooler.remove()
	})
	if err := pooler.startPgBouncer(program, s.dir); err != nil {
		t.Fatalf("postgrestest: starting PgBouncer: %v", err)
	}
	return pooler.DSN()
}

// startPgBouncer starts PgBouncer before the server whose socket is in the given folder.
func (s *Server) startPgBouncer(program, server string) error {
	settings := filepath.Join(s.dir, "pgbouncer.ini")
	users := filepath.Join(s.dir, "users")
	for name, content := range map[string]string{
		users: `"postgres" ""`,
		settings: fmt.Sprintf(`[databases]
* = host=%s port=5432
[pgbouncer]
listen_port = 5432
unix_socket_dir = %s
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 4
`, server, s.dir, users),
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	if err := s.as.own(s.dir); err != nil {
		return err
	}
	return s.launch(program, settings)
}
