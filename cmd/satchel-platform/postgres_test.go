package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
)

func TestConfig_PostgresSettings(t *testing.T) {
	settings := func(database string) (*pgx.ConnConfig, error) {
		c, err := parse([]string{"-database", database}, nil)
		require.NoError(t, err)
		return c.postgresSettings()
	}
	for _, name := range []string{"PGSSLMODE", "PGHOST", "PGSERVICE"} {
		t.Setenv(name, "")
	}

	t.Run("refuses an address of another machine that allows plain text by default", func(t *testing.T) {
		for database, host := range map[string]string{
			"postgres://u:canary@db.internal/d":                                    "db.internal",
			"postgres://u:canary@db.internal:6432/d?connect_timeout=3":             "db.internal",
			"postgres://u:canary@[2001:db8::1]/d":                                  "2001:db8::1",
			"postgres://u:canary@127.0.0.1:5432,10.0.0.7:5432/d":                   "10.0.0.7",
			"postgres://u:canary@127.0.0.1.example.com/d":                          "127.0.0.1.example.com",
			"postgres://u:canary@localhost.example.com/d?application_name=sslmode": "localhost.example.com",
			"host=db.internal user=u password=canary dbname=d":                     "db.internal",
			"host=/run/postgresql,db.internal user=u password=canary":              "db.internal",
			"user=u host = 192.0.2.7 dbname=d password=canary":                     "192.0.2.7",
		} {
			_, err := settings(database)
			require.ErrorContains(t, err, fmt.Sprintf("-database: %q is not on this machine, and without sslmode the connection to it may be unencrypted; add sslmode=verify-full", host), database)
			require.NotContains(t, err.Error(), "canary")
		}
		t.Setenv("PGHOST", "db.internal")
		_, err := settings("user=u dbname=d")
		require.ErrorContains(t, err, `"db.internal" is not on this machine`)
	})

	t.Run("accepts an explicit mode, and hosts on this machine", func(t *testing.T) {
		for _, database := range []string{
			"postgres://u@db.internal/d?sslmode=verify-full", "postgres://u@db.internal/d?sslmode=disable", "postgres://u@db.internal/d?application_name=a&sslmode=prefer",
			"host=db.internal user=u sslmode=require", "host=db.internal user=u sslmode = disable", "postgres://u@db.internal/d?ssl=true",
			"postgres://u@127.0.0.1/d", "postgres://u@[::1]/d", "postgres://u@localhost/d", "host=/run/postgresql user=u", "host=/a,/b user=u", "host=127.8.9.1 user=u",
		} {
			_, err := settings(database)
			require.NoError(t, err, database)
		}
		t.Setenv("PGSSLMODE", "disable")
		_, err := settings("postgres://u@db.internal/d")
		require.NoError(t, err)
	})

	t.Run("asks for read-write sessions and uses no named statements", func(t *testing.T) {
		s, err := settings("host=/run/postgresql")
		require.NoError(t, err)
		require.NotNil(t, s.ValidateConnect)
		require.Equal(t, pgx.QueryExecModeCacheDescribe, s.DefaultQueryExecMode)
		require.Equal(t, 5*time.Second, s.ConnectTimeout)
		s, err = settings("host=/run/postgresql target_session_attrs=any default_query_exec_mode=cache_statement connect_timeout=3")
		require.NoError(t, err)
		require.NotNil(t, s.ValidateConnect, "a server that cannot write is of no use")
		require.Equal(t, pgx.QueryExecModeCacheStatement, s.DefaultQueryExecMode)
		require.Equal(t, 3*time.Second, s.ConnectTimeout)
	})
}

// requireReady waits until /readyz answers with the status.
func (p *running) requireReady(status int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return p.do("GET", "/readyz", "").status == status }, patience, 20*time.Millisecond, "/readyz answers %d", status)
}

func TestOpen_Failover(t *testing.T) {
	primary := postgrestest.Start(t)
	standby := primary.Standby(t, 0)
	hosts := "host=" + standby.Socket() + "," + primary.Socket() + " port=5432 user=postgres dbname=postgres sslmode=disable"
	dir := t.TempDir()
	code, _, stderr := command(t, "-data", t.TempDir(), "-listen", "127.0.0.1:0", "-database", standby.DSN())
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "read only connection", "a standby alone is not enough")

	p := start(t, dir, "-database", hosts)
	p.put("acme", "API_KEY", "made-up-before-the-failover")
	p.requireReady(200)
	token := p.issue("acme/web")
	require.Equal(t, "made-up-before-the-failover", value(t, p.fetch(token), "API_KEY"), "the standby comes first, and is not used")

	primary.Stop(t)
	p.requireReady(503)
	_, err := p.runner(token).Fetch(t.Context(), nil)
	require.ErrorContains(t, err, "503")
	standby.Promote(t)
	p.requireReady(200)
	p.put("acme", "API_KEY", "made-up-after-the-failover")
	require.Equal(t, "made-up-after-the-failover", value(t, p.fetch(token), "API_KEY"))
	require.NotContains(t, p.err.String(), "refused stored rows")
	require.Equal(t, exitOK, p.stop())
}

func TestOpen_PgBouncer(t *testing.T) {
	database := postgrestest.Start(t).PgBouncer(t)
	dir := t.TempDir()
	one := start(t, dir, "-database", database)
	two := start(t, t.TempDir(), "-database", database, "-kek-key", filepath.Join(dir, "kek"), "-admin-token-file", filepath.Join(dir, "admin-token"))
	one.put("acme", "API_KEY", "made-up-value-of-acme")
	token := one.issue("acme/web")
	for n := range 12 {
		b := two.fetch(token)
		one.put("acme", "API_KEY", fmt.Sprint("made-up-value-number-", n))
		b, err := two.runner(token).Wait(t.Context(), b)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("made-up-value-number-", n), value(t, b, "API_KEY"))
		one.requireReady(200)
	}
	require.Equal(t, exitOK, one.stop())
	require.Equal(t, exitOK, two.stop())
	require.NotContains(t, one.err.String()+two.err.String(), "level=ERROR")
}

func TestOpen_Password(t *testing.T) {
	server := postgrestest.Start(t)
	dir := t.TempDir()
	admin, err := pgx.Connect(t.Context(), server.DSN())
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close(t.Context()) })
	sql := func(statement string) {
		t.Helper()
		_, err := admin.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	sql("CREATE ROLE platform LOGIN PASSWORD 'made-up-first-password'")
	sql("CREATE DATABASE platform OWNER platform")
	server.RequirePassword(t, "platform")

	file, passFile := filepath.Join(dir, "password"), filepath.Join(dir, "pgpass")
	write := func(password string) {
		require.NoError(t, os.WriteFile(file, []byte(password+"\n"), 0o600))
		require.NoError(t, os.WriteFile(passFile, []byte("*:*:*:platform:"+password+"\n"), 0o600))
	}
	write("made-up-first-password")
	database := "host=" + server.Socket() + " user=platform dbname=platform"
	for _, args := range [][]string{
		{"-database", database, "-database-password-file", file},
		{"-database", database + " passfile=" + passFile},
	} {
		sql("ALTER ROLE platform PASSWORD 'made-up-first-password'")
		write("made-up-first-password")
		p := start(t, dir, args...)
		p.put("acme", "FIRST", "made-up-first-value")
		p.requireReady(200)
		sql("ALTER ROLE platform PASSWORD 'made-up-second-password'")
		write("made-up-second-password")
		sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'platform'")
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		p.requireReady(200)

		write("made-up-wrong-password")
		sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'platform'")
		p.requireReady(503)
		write("made-up-second-password")
		p.requireReady(200)
		require.Equal(t, exitOK, p.stop())
		require.NotContains(t, p.out.String()+p.err.String(), "-password")
	}

	require.NoError(t, os.Chmod(file, 0o644))
	code, _, stderr := command(t, "-data", dir, "-listen", "127.0.0.1:0", "-database", database, "-database-password-file", file)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "-database-password-file: "+file+" has mode 0644, which allows access by other users; run chmod 600 on it")
	code, _, stderr = command(t, "-data", dir, "-database-password-file", file)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "-database-password-file is for PostgreSQL, and -database is not; remove it")
}
