package postgrestest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Standby starts a hot standby of s, which is stopped and removed after the test. It
// applies each commit after the given delay. See [Server.Promote].
func (s *Server) Standby(t testing.TB, delay time.Duration) *Server {
	t.Helper()
	standby, err := newFolder(false)
	if err != nil {
		unavailable(t, err)
	}
	t.Cleanup(standby.remove)
	standby.settings = []string{"-c", fmt.Sprintf("recovery_min_apply_delay=%dms", delay.Milliseconds())}
	// -R writes the address of s into the standby's settings.
	err = standby.run("pg_basebackup", "-D", filepath.Join(standby.dir, "data"), "-d", s.DSN(), "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if err == nil {
		err = standby.start()
	}
	if err != nil {
		t.Fatalf("postgrestest: starting a standby: %v", err)
	}
	// Only a connected standby gets what s commits before a clean stop.
	deadline := time.Now().Add(within)
	for query := "SELECT 1 / count(*) FROM pg_stat_replication WHERE state = 'streaming'"; try(s.DSN(), query) != nil; {
		if time.Now().After(deadline) {
			t.Fatalf("postgrestest: the standby is not connected after %s", within)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return standby
}

// Promote makes a standby a primary, which then accepts writes, and applies the commits
// that it has received. The former primary continues to run.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	run(t, s.DSN(), "SELECT pg_promote(wait => false)") // a waiting session could conflict with the recovery
	deadline := time.Now().Add(within)
	for query := "SELECT 1 / (NOT pg_is_in_recovery())::int"; try(s.DSN(), query) != nil; {
		if time.Now().After(deadline) {
			t.Fatalf("postgrestest: the standby is still in recovery after %s", within)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Socket returns the folder of the server's socket, for the setting host.
func (s *Server) Socket() string { return s.dir }

// RequirePassword makes the server ask a role for its password, also on the socket.
func (s *Server) RequirePassword(t testing.TB, role string) {
	t.Helper()
	rules := filepath.Join(s.dir, "data", "pg_hba.conf")
	content, err := os.ReadFile(rules)
	if err == nil {
		err = os.WriteFile(rules, append([]byte("local all "+role+" scram-sha-256\n"), content...), 0o600)
	}
	if err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
	run(t, s.DSN(), "SELECT pg_reload_conf()")
}
