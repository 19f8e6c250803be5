package postgrestest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/testenv"
)

// childVariable has this test binary start a server and wait to be killed.
const childVariable = "SATCHEL_POSTGRESTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(Run(m))
	}
	s, err := newServer(false)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.DSN())
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent
	s.remove()
}

// ask returns the single value of a query.
func ask(t *testing.T, dsn, query string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&answer))
	return answer
}

func TestSchema(t *testing.T) {
	var first string
	t.Run("first", func(t *testing.T) {
		first = Schema(t)
		run(t, first, "CREATE TABLE here (n INT)")
		require.Equal(t, "1", ask(t, first, "SELECT count(*)::text FROM pg_tables WHERE schemaname = current_schema()"))
	})
	second := Schema(t)
	require.NotEqual(t, first, second)
	require.Equal(t, "0", ask(t, second, "SELECT count(*)::text FROM pg_tables WHERE schemaname = current_schema()"))
	require.Equal(t, "none", ask(t, first, "SELECT coalesce(current_schema(), 'none')"))
}

func TestServer(t *testing.T) {
	t.Run("stops, restarts and removes its files", func(t *testing.T) {
		var s *Server
		t.Run("a test", func(t *testing.T) {
			s = Start(t)
			require.Equal(t, "UTF8", ask(t, s.DSN(), "SHOW server_encoding"))
			run(t, s.DSN(), "CREATE TABLE here (n INT); INSERT INTO here VALUES (7)")
			for _, end := range []func(testing.TB){s.Stop, s.Crash} {
				end(t)
				_, err := pgx.Connect(t.Context(), s.DSN())
				require.Error(t, err, "it refuses connections")
				s.Start(t)
				require.Equal(t, "7", ask(t, s.DSN(), "SELECT n::text FROM here"), "committed rows are there")
			}
		})
		<-s.over
		require.NoDirExists(t, s.dir)
	})

	t.Run("ends with its process, even if that is killed", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			return // only Linux supports this
		}
		if _, err := programs(os.Getenv("PATH"), installed); err != nil {
			unavailable(t, err)
		}
		dir, err := os.MkdirTemp("", "pg") // a short path, as in newServer
		require.NoError(t, err)
		t.Cleanup(func() {
			require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, 30*time.Second, 10*time.Millisecond, "the server is still writing")
		})
		require.NoError(t, os.Chmod(dir, 0o755))
		exe, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env = append(os.Environ(), childVariable+"=1", "TMPDIR="+dir)
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		defer in.Close()
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		dsn, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "UTF8", ask(t, dsn, "SHOW server_encoding"))
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		require.Eventually(t, func() bool {
			conn, err := pgx.Connect(t.Context(), dsn)
			if err == nil {
				_ = conn.Close(t.Context())
			}
			return err != nil
		}, 30*time.Second, 10*time.Millisecond, "the server is still running")
	})
}

func TestServer_Standby(t *testing.T) {
	primary := Start(t)
	run(t, primary.DSN(), "CREATE TABLE here (n INT); INSERT INTO here VALUES (7)")
	late, prompt := primary.Standby(t, time.Hour), primary.Standby(t, 0)
	run(t, primary.DSN(), "UPDATE here SET n = 8")
	require.Eventually(t, func() bool { return ask(t, prompt.DSN(), "SELECT n::text FROM here") == "8" }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, "7", ask(t, late.DSN(), "SELECT n::text FROM here"), "it applies commits after the delay")
	require.Equal(t, "true", ask(t, late.DSN(), "SELECT pg_is_in_recovery()::text"))
	late.Promote(t)
	require.Equal(t, "8", ask(t, late.DSN(), "SELECT n::text FROM here"))
	run(t, late.DSN(), "UPDATE here SET n = 9")
	require.Equal(t, "8", ask(t, primary.DSN(), "SELECT n::text FROM here"))
}

func TestServer_PgBouncer(t *testing.T) {
	server := Start(t)
	dsn := With(server.PgBouncer(t), "default_query_exec_mode", "exec")
	run(t, dsn, "CREATE TABLE here (n INT); INSERT INTO here VALUES (7)")
	require.Equal(t, "7", ask(t, server.DSN(), "SELECT n::text FROM here"))
	require.Equal(t, "7", ask(t, dsn, "SELECT n::text FROM here"))
}

func TestUnavailable(t *testing.T) {
	folder := t.TempDir()
	_, err := programs(folder, filepath.Join(folder, "*", "bin"))
	require.ErrorIs(t, err, errNoServer)
	for full, want := range map[string]string{"": "skipped", "1": "failed"} {
		t.Setenv(testenv.Full, full)
		v := &verdict{TB: t}
		require.Panics(t, func() { unavailable(v, fmt.Errorf("starting: %w", err)) }, "the test ends")
		require.Equal(t, want, v.what)
	}
	t.Setenv(testenv.Full, "")
	v := &verdict{TB: t}
	require.Panics(t, func() { unavailable(v, os.ErrPermission) })
	require.Equal(t, "failed", v.what, "a server that fails to start is not a reason to skip")
}

// verdict is a test that records its result.
type verdict struct {
	testing.TB
	what string
}

func (v *verdict) Skipf(string, ...any)  { v.what = "skipped"; panic(v.what) }
func (v *verdict) Fatalf(string, ...any) { v.what = "failed"; panic(v.what) }

func TestPrograms(t *testing.T) {
	folder := t.TempDir()
	for _, version := range []string{"9.6", "15", "17"} {
		bin := filepath.Join(folder, version, "bin")
		require.NoError(t, os.MkdirAll(bin, 0o755))
		programs := []string{"initdb", "postgres"}
		if version == "17" {
			programs = programs[:1] // only those of a client
		}
		for _, program := range programs {
			require.NoError(t, os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\n"), 0o755))
		}
	}
	found, err := programs("", filepath.Join(folder, "*", "bin"))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(folder, "15", "bin"), found, "the newest version that has a server")

	linked := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(folder, "9.6", "bin", "initdb"), filepath.Join(linked, "initdb")))
	found, err = programs(linked, filepath.Join(folder, "*", "bin"))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(folder, "9.6", "bin"), found, "PATH comes first, and initdb may be a link")
}

func TestWith(t *testing.T) {
	for dsn, want := range map[string]string{
		"host=/tmp user=me":             "host=/tmp user=me search_path='a b'",
		"postgres://me@localhost/db":    "postgres://me@localhost/db?search_path=a%20b",
		"postgresql://h/db?sslmode=off": "postgresql://h/db?search_path=a%20b&sslmode=off",
	} {
		require.Equal(t, want, With(dsn, "search_path", "a b"))
	}
	for _, dsn := range []string{"postgres://localhost/db", "host=localhost"} {
		for _, value := range []string{"it's", `\ and "`, "a, b+c & d%20", "größe"} {
			config, err := pgx.ParseConfig(With(dsn, "search_path", value))
			require.NoError(t, err)
			require.Equal(t, value, config.RuntimeParams["search_path"], dsn)
		}
	}
}
