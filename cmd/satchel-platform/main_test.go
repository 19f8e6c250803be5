package main

import (
	"bytes"
	"context"
	"database/sql"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestServe(t *testing.T) {
	t.Run("delivers the secrets that an administrator stored", func(t *testing.T) {
		p := start(t, t.TempDir(), "-require", "acme=ANTHROPIC_API_KEY:anthropic", "-require", "acme=OTHER_KEY")
		require.True(t, strings.HasPrefix(p.url, "https://127.0.0.1:"), p.url)
		p.put("acme", "ANTHROPIC_API_KEY", "sk-made-up-0123456789")
		token := p.issue("acme/web")

		b := p.fetch(token)
		require.Equal(t, "sk-made-up-0123456789", value(t, b, "ANTHROPIC_API_KEY"))
		require.Equal(t, defaultNotices, b.Meta().Notices)
		require.Len(t, b.Problems(), 1)
		require.Equal(t, "OTHER_KEY", b.Problems()[0].Name, "a missing required secret is a problem")
		require.Contains(t, p.admin("GET", "/readiness?scope=acme/web", ""), `"ready":false`)
		require.NotContains(t, p.admin("GET", "/secrets?scope=acme", ""), "sk-made-up", "administrators see no value")

		require.Equal(t, 200, p.do("GET", "/healthz", "").status)
		require.Equal(t, 200, p.do("GET", "/readyz", "").status)
		require.Equal(t, 404, p.do("GET", "/admin", "").status)
		require.Equal(t, 404, p.do("GET", "/admin/../healthz", "").status, "paths are not cleaned")
		require.Equal(t, exitOK, p.stop())
	})

	t.Run("uses plain HTTP on loopback with -insecure-loopback", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir, "-insecure-loopback", "-trusted-proxy", "127.0.0.1/32")
		require.True(t, strings.HasPrefix(p.url, "http://127.0.0.1:"), p.url)
		require.NoFileExists(t, filepath.Join(dir, "tls-cert.pem"))
		token := p.issue("acme")
		require.Equal(t, 200, p.do("GET", "/runners/bootstrap", "", "Authorization", "Bearer "+token.Reveal(), "X-Forwarded-For", "203.0.113.9, 198.51.100.1").status)
		require.Contains(t, p.admin("GET", "/tokens?scope=acme", ""), `"last_addr":"198.51.100.1"`, "the address is the proxy's client")
	})

	t.Run("keeps everything across a restart", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir)
		require.Contains(t, p.out.String(), filepath.Join(dir, "admin-token"), "the output names the file of the token")
		require.NotContains(t, p.out.String()+p.err.String(), p.adminToken(), "the token itself is not printed")
		p.put("acme", "API_KEY", "made-up-before-the-restart")
		token := p.issue("acme")
		first := p.adminToken()
		require.Equal(t, exitOK, p.stop())

		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			require.NoError(t, err)
			info, err := entry.Info()
			require.NoError(t, err)
			if filepath.Base(path) != "tls-cert.pem" && path != dir {
				require.Zero(t, info.Mode().Perm()&0o077, "only the owner can access %s", path)
			}
			return nil
		})
		require.NoError(t, err)

		p = start(t, dir)
		require.NotContains(t, p.out.String(), "Created", "nothing is created again")
		require.Equal(t, first, p.adminToken())
		require.Equal(t, "made-up-before-the-restart", value(t, p.fetch(token), "API_KEY"))
		require.Contains(t, p.admin("GET", "/audit?tenant=acme", ""), "token.issue")
	})

	t.Run("allows concurrent starts on a new database", func(t *testing.T) {
		dir := t.TempDir()
		var both [2]*running
		for i := range both {
			both[i], _ = spawn(t, dir)
		}
		for _, p := range both {
			p.serves()
		}
		both[0].put("acme", "API_KEY", "made-up-value-of-acme")
		token := both[1].issue("acme/web")
		for _, p := range both {
			require.Equal(t, "made-up-value-of-acme", value(t, p.fetch(token), "API_KEY"), "the processes share key, token and database")
		}
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		require.Subset(t, []string{"admin-token", "kek", "satchel.db", "satchel.db-shm", "satchel.db-wal", "tls-cert.pem", "tls-key.pem"}, names, "no draft is left behind")
	})

	t.Run("reports created files even if it cannot listen", func(t *testing.T) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer taken.Close()
		code, out, stderr := command(t, "-data", t.TempDir(), "-listen", taken.Addr().String())
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "address already in use")
		require.Contains(t, out, "Created a key in", "the next start would not report the key again")
		require.Contains(t, out, "Created the administrators' token in")
		require.NotContains(t, out, "Serving")
	})

	t.Run("applies rate limits", func(t *testing.T) {
		p := start(t, t.TempDir(), "-limit-failures", "0.001:3")
		var got []int
		for range 5 {
			got = append(got, p.do("GET", "/runners/bootstrap", "", "Authorization", "Bearer nonsense").status)
		}
		require.Equal(t, []int{401, 401, 401, 429, 429}, got)
	})
}

func TestAuthorize(t *testing.T) {
	p := start(t, t.TempDir())
	token := p.issue("acme")
	for name, header := range map[string]string{
		"none": "", "another": "Bearer " + strings.Repeat("x", 52), "a runner's": "Bearer " + token.Reveal(),
		"another scheme": "Basic " + p.adminToken(), "a part": "Bearer " + p.adminToken()[:51],
	} {
		require.Equal(t, 401, p.do("GET", "/admin/v1/secrets?scope=acme", "", "Authorization", header).status, name)
	}
	require.Equal(t, 200, p.do("GET", "/admin/v1/secrets?scope=acme", "", "Authorization", "Bearer "+p.adminToken()).status)
}

func TestLoadAdminToken(t *testing.T) {
	t.Run("reads the environment", func(t *testing.T) {
		dir, token := t.TempDir(), strings.Repeat("made-up-", 5)
		p := startIn(t, []string{adminTokenEnv + "=" + token}, dir)
		require.Equal(t, 200, p.do("GET", "/admin/v1/secrets?scope=acme", "", "Authorization", "Bearer "+token).status)
		require.NoFileExists(t, filepath.Join(dir, "admin-token"))
	})

	t.Run("takes a new token from the file without a restart", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir)
		first, next := p.adminToken(), strings.Repeat("made-up-", 5)
		status := func(token string) int {
			return p.do("GET", "/admin/v1/secrets?scope=acme", "", "Authorization", "Bearer "+token).status
		}
		require.Equal(t, 200, status(first))
		file := filepath.Join(dir, "admin-token")
		require.NoError(t, os.WriteFile(file, []byte("short\n"), 0o600))
		require.Eventually(t, func() bool {
			status(first)
			return strings.Contains(p.err.String(), "still using its previous content")
		}, patience, 50*time.Millisecond)
		require.Equal(t, 200, status(first), "an invalid file changes nothing")
		require.NoError(t, os.WriteFile(file, []byte(next+"\n"), 0o600))
		require.Eventually(t, func() bool { return status(next) == 200 }, patience, 50*time.Millisecond)
		require.Equal(t, 401, status(first))
		require.NotContains(t, p.err.String(), next)
	})

	t.Run("refuses a file that other users can read", func(t *testing.T) {
		dir := t.TempDir()
		start(t, dir).stop()
		require.NoError(t, os.Chmod(filepath.Join(dir, "admin-token"), 0o640))
		code, _, stderr := command(t, "-data", dir, "-listen", "127.0.0.1:0")
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, "has mode 0640, which allows access by other users; run chmod 600 on it")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "short"), []byte("short\n"), 0o600))
		code, _, stderr = command(t, "-data", dir, "-listen", "127.0.0.1:0", "-admin-token-file", filepath.Join(dir, "short"))
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, tokenRule)
	})
}

func TestServer_Leave(t *testing.T) {
	p := start(t, t.TempDir(), "-shutdown-delay", "1s")
	p.put("acme", "API_KEY", "made-up-value-of-acme")
	token := p.issue("acme")
	revision := p.fetch(token).Revision()

	waited := make(chan answer, 1)
	began := time.Now()
	go func() {
		a, err := p.try("GET", "/runners/bootstrap", "", "Authorization", "Bearer "+token.Reveal(),
			"If-None-Match", `"`+revision+`"`, "Prefer", "wait=50")
		if err != nil {
			a.body = err.Error()
		}
		waited <- a
	}()
	ended := make(chan int, 1)
	go func() { ended <- p.stop() }()
	require.Eventually(t, func() bool {
		a, err := p.try("GET", "/readyz", "")
		return err == nil && a.status == http.StatusServiceUnavailable
	}, patience, 10*time.Millisecond, "/readyz answers 503 while the platform still serves")
	a := <-waited
	require.Equal(t, http.StatusServiceUnavailable, a.status, a.body)
	require.NotEmpty(t, a.header.Get("Retry-After"), "the response tells the runner when to retry")
	require.Equal(t, exitOK, <-ended)
	require.Less(t, time.Since(began), 30*time.Second, "the wait ended early")
	require.NotContains(t, p.err.String(), "level=ERROR", "an orderly end is not an error")
}

func TestOpen(t *testing.T) {
	t.Run("refuses a wrong key", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		p.stop()

		other := filepath.Join(t.TempDir(), "kek")
		code, _, _ := command(t, "keygen", other)
		require.Equal(t, exitOK, code)
		record := filepath.Join(t.TempDir(), "audit.jsonl")
		code, out, stderr := command(t, "-data", dir, "-listen", "127.0.0.1:0", "-kek-key", other, "-audit-file", record)
		require.Equal(t, exitUsage, code)
		require.Empty(t, out, "it does not serve")
		require.NoFileExists(t, record, "nothing was created")
		require.Contains(t, stderr, "the data keys of tenant acme are wrapped by")
		require.Contains(t, stderr, "add it with -kek-retired")

		require.NoError(t, os.Rename(filepath.Join(dir, "kek"), filepath.Join(dir, "away")))
		code, _, stderr = command(t, "-data", dir, "-listen", "127.0.0.1:0")
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, "name the file with the key of the data, or restore it from its copy")
		require.NoFileExists(t, filepath.Join(dir, "kek"), "no new key is created for existing data")
	})

	t.Run("opens everything with any replica", func(t *testing.T) {
		dir := t.TempDir()
		replica := filepath.Join(dir, "replica")
		require.Equal(t, exitOK, first(command(t, "keygen", replica)))
		p := start(t, dir, "-kek-replica", "local:"+replica)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		token := p.issue("acme")
		p.stop()
		require.NoError(t, os.Remove(filepath.Join(dir, "kek")))
		require.Equal(t, "made-up-value-of-acme", value(t, start(t, dir, "-kek-key", replica).fetch(token), "API_KEY"))
	})

	t.Run("drops old audit entries", func(t *testing.T) {
		p := start(t, t.TempDir())
		p.stop()
		synctest.Test(t, func(t *testing.T) {
			c, err := parse([]string{"-data", p.dir, "-audit-keep", "24h"}, nil)
			require.NoError(t, err)
			var log text
			opened, err := open(t.Context(), c, c.logger(&log))
			require.NoError(t, err)
			defer func() { require.NoError(t, opened.close()) }()
			for _, tenant := range []string{"acme", "globex"} {
				_, err := opened.vault.Put(t.Context(), tenant, "API_KEY", bundle.NewValue("made-up-value-of-"+tenant), nil)
				require.NoError(t, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- opened.vault.Run(ctx) }()
			time.Sleep(49 * time.Hour)
			for _, tenant := range []string{"acme", "globex"} {
				page, err := opened.vault.AuditPage(t.Context(), tenant, 0, 10)
				require.NoError(t, err)
				require.Equal(t, "audit.trim", string(page[0].Action), tenant)
				_, err = opened.vault.VerifyAudit(t.Context(), tenant, nil, nil)
				require.NoError(t, err, "the remaining entries form a chain")
			}
			require.Contains(t, log.String(), "old audit entries were dropped")
			cancel()
			require.NoError(t, <-ended)
		})
	})
}

func TestRewrap(t *testing.T) {
	t.Run("replaces a key while the platform serves", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		token := p.issue("acme")
		p.stop()

		from, to := filepath.Join(dir, "kek"), filepath.Join(dir, "kek-2")
		require.Equal(t, exitOK, first(command(t, "keygen", to)))
		code, _, stderr := command(t, "keygen", to)
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "a key is never overwritten; name a new file")
		both := []string{"-kek-key", to, "-kek-retired", "local:" + from}
		p = start(t, dir, both...)
		code, out, stderr := command(t, append([]string{"rewrap", "-data", dir}, both...)...)
		require.Equal(t, exitOK, code, stderr)
		require.Equal(t, "Rewrapped 1 of 1 key records, tenants: 1\n", out)
		require.Equal(t, "made-up-value-of-acme", value(t, p.fetch(token), "API_KEY"))
		p.stop()
		require.Equal(t, "made-up-value-of-acme", value(t, start(t, dir, "-kek-key", to).fetch(token), "API_KEY"), "the new key is sufficient")
		require.Equal(t, exitUsage, first(command(t, "-data", dir, "-listen", "127.0.0.1:0")), "the old key no longer opens the data")
	})
}

func first(code int, _, _ string) int { return code }

func TestExport(t *testing.T) {
	t.Run("is imported elsewhere", func(t *testing.T) {
		dir, elsewhere := t.TempDir(), t.TempDir()
		p := start(t, dir)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		token := p.issue("acme")
		p.stop()

		backup, key := filepath.Join(t.TempDir(), "backup.skx"), filepath.Join(dir, "kek")
		code, out, stderr := command(t, "export", "-data", dir, backup)
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, out, "Exported tenants: 1, scopes: 1, secret versions: 1, tokens: 1")
		code, _, stderr = command(t, "export", "-data", dir, backup)
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "is not overwritten; name a new file")
		code, stream, stderr := command(t, "export", "-data", dir, "-")
		require.Equal(t, exitOK, code, stderr)
		content, err := os.ReadFile(backup)
		require.NoError(t, err)
		require.Equal(t, string(content[:4]), stream[:4], "standard output has only the export")
		require.False(t, bytes.Contains(content, []byte("made-up")), "the export is sealed")

		code, out, stderr = command(t, "import", "-data", elsewhere, "-kek-key", key, backup)
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, out, "Imported tenants: 1")
		require.Equal(t, "made-up-value-of-acme", value(t, start(t, elsewhere, "-kek-key", key).fetch(token), "API_KEY"))
		require.Equal(t, exitFailed, first(command(t, "import", "-data", elsewhere, "-kek-key", key, backup)), "an existing tenant is not replaced")
	})

	t.Run("names a damaged tenant, and leaves it out when told to", func(t *testing.T) {
		dir, elsewhere := t.TempDir(), t.TempDir()
		p := start(t, dir)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		p.put("globex", "API_KEY", "made-up-value-of-globex")
		token := p.issue("acme")
		p.stop()
		db, err := sql.Open("sqlite", filepath.Join(dir, "satchel.db"))
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "DELETE FROM seals WHERE scope = 'globex'")
		require.NoError(t, err)
		require.NoError(t, db.Close())

		backup, key := filepath.Join(t.TempDir(), "backup.skx"), filepath.Join(dir, "kek")
		code, _, stderr := command(t, "export", "-data", dir, backup)
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "tenant globex: ")
		require.Contains(t, stderr, "export the others with -skip")
		require.NoFileExists(t, backup, "an incomplete export leaves no file")
		code, _, stderr = command(t, "export", "-data", dir, "-skip", "globexx", backup)
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, `-skip names the tenant "globexx", which is not stored`)
		code, out, stderr := command(t, "export", "-data", dir, "-skip", "globex", backup)
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, out, "Exported tenants: 1")

		p = start(t, elsewhere, "-kek-key", key, "-new-database")
		p.put("initech", "API_KEY", "made-up-value-of-initech")
		p.stop()
		code, out, stderr = command(t, "import", "-data", elsewhere, "-kek-key", key, backup)
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, out, "Imported tenants: 1")
		code, _, stderr = command(t, "import", "-data", elsewhere, "-kek-key", key, backup)
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, `tenant "acme": conflicting change: the tenant exists already`)
		require.Equal(t, "made-up-value-of-acme", value(t, start(t, elsewhere, "-kek-key", key).fetch(token), "API_KEY"))
	})

	t.Run("refuses an empty database", func(t *testing.T) {
		dir := t.TempDir()
		backup := filepath.Join(dir, "backup.skx")
		code, _, stderr := command(t, "export", "-data", filepath.Join(dir, "mistyped"), backup)
		require.Equal(t, exitUsage, code, "the database does not exist")
		require.NoDirExists(t, filepath.Join(dir, "mistyped"), stderr)
		start(t, dir).stop()
		code, _, stderr = command(t, "export", "-data", dir, backup)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, "the database is empty")
		require.NoFileExists(t, backup)
	})
}
