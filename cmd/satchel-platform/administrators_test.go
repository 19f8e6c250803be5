package main

import (
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/internal/wire"
)

// administer runs a command for administrators in another process, as a person does while
// the platform serves.
func administer(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"admin"}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "SUDO_USER=lin")
	var out, log text
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); !ended {
		require.NoError(t, err)
	}
	require.NotRegexp(t, wire.TokenPattern, log.String())
	return cmd.ProcessState.ExitCode(), out.String(), log.String()
}

// newToken runs a command that prints a token, and returns that.
func newToken(t *testing.T, args ...string) string {
	t.Helper()
	code, out, stderr := administer(t, args...)
	require.Equal(t, exitOK, code, stderr)
	token, ended := strings.CutSuffix(out, "\n")
	require.True(t, ended)
	_, err := wire.ParseAdminToken(token)
	require.NoError(t, err, "the token is alone on standard output")
	return token
}

// as sends an administrator's request with a token.
func (p *running) as(token, method, path, body string) answer {
	p.t.Helper()
	return p.do(method, "/admin/v1"+path, body, "Authorization", "Bearer "+token, "Satchel-Admin", "1", "Content-Type", "application/json")
}

func TestAddAdministrator(t *testing.T) {
	const secrets, put = "/secrets?scope=acme", "/secrets/API_KEY?scope=acme"

	t.Run("allows the scopes of the token from the next request on", func(t *testing.T) {
		dir := t.TempDir()
		auditFile := filepath.Join(dir, "audit")
		p := start(t, dir, "-audit-file", auditFile)
		p.put("globex", "API_KEY", "made-up-value-of-globex")
		token := newToken(t, "add", "-data", dir, "-audit-file", auditFile, "-scope", "acme", "-scope", "beta/web", "ada@example.com")
		require.Equal(t, 200, p.as(token, "PUT", put, `{"value":"made-up-value-of-acme"}`).status)
		for path, status := range map[string]int{
			secrets: 200, "/secrets?scope=acme/web": 200, "/secrets?scope=beta/web": 200,
			"/secrets?scope=beta": 403, "/secrets?scope=globex": 403, "/administrators": 403, "/audit?tenant=_platform": 403,
		} {
			require.Equal(t, status, p.as(token, "GET", path, "").status, path)
		}
		require.Equal(t, 401, p.as(token[:len(token)-1]+"0", "GET", secrets, "").status)

		entries := p.as(token, "GET", "/audit?tenant=acme", "").body
		require.Contains(t, entries, `"actor":"ada@example.com"`, "the audit says who")
		require.NotContains(t, entries, `"actor":"admin"`)
		entries = p.admin("GET", "/audit?tenant=_platform", "")
		require.Contains(t, entries, `"actor":"satchel-platform admin (lin)"`)
		require.Contains(t, entries, `"name":"ada@example.com"`)
		content, err := os.ReadFile(auditFile)
		require.NoError(t, err)
		require.Contains(t, string(content), "administrator.add", "the command sends its entries to the audit file")
		require.Equal(t, exitOK, p.stop())
		require.NotContains(t, p.out.String()+p.err.String()+string(content), token)
	})

	t.Run("read-only tokens change nothing", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir)
		token := newToken(t, "add", "-data", dir, "-scope", "*", "-role", "read-only", "auditor")
		require.Equal(t, 200, p.as(token, "GET", secrets, "").status)
		require.Equal(t, 200, p.as(token, "GET", "/administrators", "").status)
		require.Equal(t, 403, p.as(token, "PUT", put, `{"value":"made-up-value-of-acme"}`).status)
		require.Equal(t, 403, p.as(token, "POST", "/tokens?scope=acme", "{}").status)
		require.Equal(t, 403, p.as(token, "DELETE", "/administrators/auditor", "").status)
	})

	t.Run("tokens expire", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir)
		token := newToken(t, "add", "-data", dir, "-scope", "acme", "-expires", "1s", "bob")
		require.Eventually(t, func() bool { return p.as(token, "GET", secrets, "").status == 401 }, patience, 50*time.Millisecond)
		_, out, _ := administer(t, "list", "-data", dir)
		require.Contains(t, out, " (expired)")
		token = newToken(t, "rotate", "-data", dir, "-expires", time.Now().Add(time.Hour).Format(time.RFC3339), "bob")
		require.Equal(t, 200, p.as(token, "GET", secrets, "").status)
	})

	t.Run("works with PostgreSQL", func(t *testing.T) {
		dir, database := t.TempDir(), postgrestest.Schema(t)
		p := start(t, dir, "-database", database, "-admin-token-file", "none")
		token := newToken(t, "add", "-data", dir, "-database", database, "-scope", "acme", "ada")
		require.Equal(t, 200, p.as(token, "PUT", put, `{"value":"made-up-value-of-acme"}`).status)
		next := newToken(t, "rotate", "-data", dir, "-database", database, "ada")
		require.Equal(t, 401, p.as(token, "GET", secrets, "").status)
		require.Equal(t, 200, p.as(next, "GET", secrets, "").status)
		code, _, stderr := administer(t, "remove", "-data", dir, "-database", database, "ada")
		require.Equal(t, exitOK, code, stderr)
		require.Equal(t, 401, p.as(next, "GET", secrets, "").status)
	})

	t.Run("refuses invalid input and names a fix", func(t *testing.T) {
		dir := t.TempDir()
		start(t, dir).stop()
		token := newToken(t, "add", "-data", dir, "-scope", "acme", "ada")
		for _, test := range []struct {
			args []string
			code int
			says string
		}{
			{[]string{"add", "-data", dir, "-scope", "acme", "ada"}, exitFailed, `adding administrator "ada": conflicting change: there is an administrator with this name; use admin rotate for another token, or another name`},
			{[]string{"add", "-data", dir, "-scope", "acme", "Ada"}, exitUsage, `the name has 'A'; use a-z, 0-9 and . _ @ + -`},
			{[]string{"add", "-data", dir, "-scope", "acme", token}, exitUsage, `the name has 65 bytes; at most 64 are allowed`},
			{append([]string{"add", "-data", dir}, append(strings.Split(strings.Repeat("-scope acme ", 101), " ")[:202], "bob")...), exitUsage, `-scope has 101 scopes; want 1 to 100`},
			{[]string{"remove", "-data", dir, "bob"}, exitFailed, `removing administrator "bob": not found; admin list shows all names`},
			{[]string{"remove", "-data", dir, token}, exitFailed, `not found; admin list shows all names`},
			{[]string{"rotate", "-data", dir, "bob"}, exitFailed, `rotating the token of administrator "bob": not found; admin list shows all names`},
			{[]string{"list", "-data", t.TempDir()}, exitUsage, `satchel.db does not exist; name the right database with -database or -data`},
			{[]string{"list", "-data", dir, "-kek-key", "/nope"}, exitUsage, `-kek-key: /nope does not exist`},
		} {
			code, out, stderr := administer(t, test.args...)
			require.Equal(t, test.code, code, stderr)
			require.Contains(t, stderr, test.says)
			require.Empty(t, out)
		}
	})

	t.Run("reports a token that could not be written", func(t *testing.T) {
		dir := t.TempDir()
		start(t, dir).stop()
		var stderr text
		require.Equal(t, exitFailed, run(t.Context(), []string{"admin", "add", "-data", dir, "-scope", "acme", "ada"}, nil, full{}, &stderr))
		require.Contains(t, stderr.String(), "the token of administrator ada could not be written: no space; admin rotate prints another")
		newToken(t, "rotate", "-data", dir, "ada")
	})
}

// full is a writer that fails.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestRotateAdministrator(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	token := newToken(t, "add", "-data", dir, "-scope", "acme", "-expires", "720h", "ada")
	_, before, _ := administer(t, "list", "-data", dir)
	next := newToken(t, "rotate", "-data", dir, "ada")
	require.Equal(t, 401, p.as(token, "GET", "/secrets?scope=acme", "").status, "the previous token has ended")
	require.Equal(t, 200, p.as(next, "GET", "/secrets?scope=acme", "").status)
	require.Equal(t, 403, p.as(next, "GET", "/secrets?scope=globex", "").status, "the scopes are the same")
	_, after, _ := administer(t, "list", "-data", dir)
	require.NotEqual(t, before, after)
	require.NotContains(t, after, "never", "the new token has a lifetime too")
}

func TestRemoveAdministrator(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	token := newToken(t, "add", "-data", dir, "-scope", "acme", "ada")
	other := newToken(t, "add", "-data", dir, "-scope", "acme", "bob")
	require.Equal(t, 200, p.as(token, "GET", "/secrets?scope=acme", "").status)
	code, out, stderr := administer(t, "remove", "-data", dir, "ada")
	require.Equal(t, exitOK, code, stderr)
	require.Empty(t, out)
	require.Contains(t, stderr, `msg="administrator removed" name=ada`)
	require.Equal(t, 401, p.as(token, "GET", "/secrets?scope=acme", "").status)
	require.Equal(t, 200, p.as(other, "GET", "/secrets?scope=acme", "").status)
	require.Contains(t, p.admin("GET", "/audit?tenant=_platform", ""), "administrator.remove")
}

func TestListAdministrators(t *testing.T) {
	dir := t.TempDir()
	start(t, dir).stop()
	const head = `^NAME +ROLE +SCOPES +CREATED +EXPIRES +TOKEN ID\n`
	code, out, stderr := administer(t, "list", "-data", dir)
	require.Equal(t, exitOK, code, stderr)
	require.Regexp(t, head+"$", out)

	one := newToken(t, "add", "-data", dir, "-scope", "acme", "-scope", "beta", "-role", "read-only", "-expires", "2999-01-31T00:00:00Z", "bob")
	two := newToken(t, "add", "-data", dir, "-scope", "*", "ada@example.com")
	code, out, stderr = administer(t, "list", "-data", dir)
	require.Equal(t, exitOK, code, stderr)
	require.Regexp(t, head+
		`ada@example.com +administrator +\* +20\S+Z +never +\w{12}\n`+
		`bob +read-only +acme,beta +20\S+Z +2999-01-31T00:00:00Z +\w{12}\n$`, out)
	for _, token := range []string{one, two} {
		id, err := wire.ParseAdminToken(token)
		require.NoError(t, err)
		require.Contains(t, out, id)
		require.NotContains(t, out, token)
	}
}

func TestServer_WarnWithoutAdministrators(t *testing.T) {
	const warning = "there is neither an administrators' token nor a named administrator with a valid one; add one, with the settings of this process: satchel-platform admin add"

	t.Run("serves without the administrators' token", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir, "-admin-token-file", "none")
		require.Contains(t, p.err.String(), warning)
		require.NoFileExists(t, filepath.Join(dir, "admin-token"))
		require.NoFileExists(t, "none")
		for _, header := range []string{"", "Bearer ", "Bearer none", "Bearer " + strings.Repeat("made-up-", 5)} {
			require.Equal(t, 401, p.do("GET", "/admin/v1/tenants", "", "Authorization", header).status, header)
		}
		token := newToken(t, "add", "-data", dir, "-scope", "*", "ada")
		require.Equal(t, 200, p.as(token, "GET", "/tenants", "").status, "the first administrator needs no restart")
		require.Equal(t, exitOK, p.stop())

		p = startIn(t, []string{"SATCHEL_PLATFORM_ADMIN_TOKEN_FILE=none"}, dir)
		require.NotContains(t, p.err.String(), warning)
		require.Equal(t, 200, p.as(token, "GET", "/tenants", "").status)
		require.NoFileExists(t, filepath.Join(dir, "admin-token"))
	})

	t.Run("ignores a file from before", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir)
		token := p.adminToken()
		named := newToken(t, "add", "-data", dir, "-scope", "*", "-expires", "1s", "ada")
		require.Equal(t, 200, p.as(token, "GET", "/tenants", "").status)
		require.Equal(t, exitOK, p.stop())
		require.NotContains(t, p.err.String(), warning)
		time.Sleep(time.Second)
		p = start(t, dir, "-admin-token-file", "none")
		require.Equal(t, 401, p.as(token, "GET", "/tenants", "").status)
		require.Equal(t, 401, p.as(named, "GET", "/tenants", "").status)
		require.Contains(t, p.err.String(), warning, "its token has expired")
	})

	t.Run("serves runners although the administrators are damaged", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		runner := p.issue("acme")
		token := newToken(t, "add", "-data", dir, "-scope", "*", "ada")
		require.Equal(t, exitOK, p.stop())
		db, err := sql.Open("sqlite", filepath.Join(dir, "satchel.db"))
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "UPDATE docs SET body = x'00' WHERE space = 'administrators'")
		require.NoError(t, err)
		require.NoError(t, db.Close())

		p = start(t, dir, "-admin-token-file", "none")
		require.Contains(t, p.err.String(), "cannot read the named administrators")
		require.Equal(t, "made-up-value-of-acme", value(t, p.fetch(runner), "API_KEY"))
		require.Equal(t, 500, p.as(token, "GET", "/tenants", "").status, "it is not known whether the token is valid")
	})
}

func TestCheckAdminToken(t *testing.T) {
	token, _ := wire.NewAdminToken()
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	const says = "tokens that begin with sat_ belong to named administrators; use another one here, or -admin-token-file none"
	code, _, stderr := command(t, "-data", dir, "-admin-token-file", file)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "-admin-token-file: "+file+": "+says)
	require.NotContains(t, stderr, token)
	c, err := parse(nil, []string{adminTokenEnv + "=" + token})
	require.ErrorContains(t, err, adminTokenEnv+": "+says)
	require.NotNil(t, c)
	_, err = parse([]string{"admin", "list"}, []string{adminTokenEnv + "=" + token, "SATCHEL_PLATFORM_ADMIN_TOKEN_FILE=none"})
	require.NoError(t, err, "the person who runs a command may be a named administrator")
}

func TestOperator(t *testing.T) {
	t.Setenv("SUDO_USER", "")
	require.Regexp(t, `^satchel-platform admin \(.+\)$`, operator())
	t.Setenv("SUDO_USER", "lin")
	require.Equal(t, "satchel-platform admin (lin)", operator())
}
