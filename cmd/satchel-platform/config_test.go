package main

import (
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

func TestParse(t *testing.T) {
	t.Run("refuses invalid settings and names a fix", func(t *testing.T) {
		for _, test := range []struct {
			args, environ []string
			says          string
		}{
			{args: []string{"serv"}, says: `unknown command "serv"; want one of admin add, admin list, admin remove, admin rotate, export, import, keygen, rewrap, serve`},
			{args: []string{"admin"}, says: `unknown command "admin"; want one of admin add, admin list`},
			{args: []string{"admin", "-scope", "acme", "add"}, says: `unknown command "admin"; want one of admin add`},
			{args: []string{"admin", "create"}, says: `unknown command admin "create"; want one of admin add`},
			{args: []string{"admin", "sat_canary0123"}, says: `unknown command admin "…"`},
			{args: []string{"-data", "d", "admin", "add"}, says: `unexpected argument "admin"; the command must come before all flags`},
			{args: []string{"admin", "add", "-scope", "acme"}, says: `admin add takes one name after the flags, but has 0 arguments`},
			{args: []string{"admin", "add", "ada", "-scope", "acme"}, says: `admin add takes one name after the flags, but has 3 arguments`},
			{args: []string{"admin", "add", "ada"}, says: `admin add needs -scope, such as -scope acme, or -scope '*' for all scopes`},
			{args: []string{"admin", "list", "ada"}, says: `unexpected argument "ada"; admin list takes only flags`},
			{args: []string{"admin", "rotate", "-role", "read-only", "ada"}, says: `admin rotate changes neither -scope nor -role; remove the administrator, and add it with others`},
			{args: []string{"admin", "add", "-scope", "Canary", "ada"}, says: `-scope: want a scope such as acme/web, or '*' for all`},
			{args: []string{"admin", "add", "-scope", "acme/*", "ada"}, says: `-scope: want a scope such as acme/web, or '*' for all`},
			{args: []string{"admin", "add", "-role", "canary", "ada"}, says: `-role: want administrator or read-only`},
			{args: []string{"admin", "add", "-role=", "ada"}, says: `-role: want administrator or read-only`},
			{args: []string{"admin", "add", "-expires", "canary", "ada"}, says: `-expires: want a time in the future, such as 2160h for 90 days, or 2027-01-31T00:00:00Z`},
			{args: []string{"admin", "add", "-expires", "0s", "ada"}, says: `-expires: want a time in the future`},
			{args: []string{"admin", "add", "-expires", "-1h", "ada"}, says: `-expires: want a time in the future`},
			{args: []string{"admin", "add", "-expires", "90d", "ada"}, says: `-expires: want a time in the future`},
			{args: []string{"admin", "add", "-expires", "2020-01-31T00:00:00Z", "ada"}, says: `-expires: want a time in the future`},
			{args: []string{"postgres://u:canary@h/d"}, says: `unknown command "…"`},
			{args: []string{"serve", "rewrap"}, says: `unexpected argument "rewrap"; the command must come before all flags`},
			{args: []string{"export"}, says: `export takes one file after the flags, but has 0 arguments`},
			{args: []string{"-liste", ":1"}, says: `unknown flag -liste`},
			{args: []string{"-log-level"}, says: `missing value of -log-level`},
			{args: []string{"rewrap", "--", "-listen"}, says: `unexpected argument "-listen"; rewrap takes only flags`},
			{args: []string{"-listen", "8443"}, says: `-listen "8443": want an address and a port, such as 127.0.0.1:8443`},
			{args: []string{"-listen", ":8443"}, says: `-listen :8443 is not a loopback address; set -tls-cert and -tls-key, or listen on 127.0.0.1`},
			{args: []string{"-listen", "0.0.0.0:8443", "-insecure-loopback"}, says: `-insecure-loopback: -listen 0.0.0.0:8443 is not a loopback address`},
			{args: []string{"-listen", "platform.example.com:1", "-insecure-loopback"}, says: `is not a loopback address`},
			{args: []string{"-tls-cert", "x"}, says: `-tls-cert and -tls-key must be set together; set both, or neither`},
			{args: []string{"-tls-cert", "x", "-tls-key", "y", "-insecure-loopback"}, says: `exclude each other; remove one`},
			{args: []string{"-shutdown-timeout", "0s"}, says: `-shutdown-delay and -shutdown-timeout: want times such as 5s`},
			{args: []string{"-database", "mysql://u:canary@h/d"}, says: `-database: want the name of a file without a question mark, or an address that begins with postgres://`},
			{args: []string{"-database", "file:x.db?mode=ro"}, says: `-database: want the name of a file`},
			{args: []string{"-database-connections", "1"}, says: `-database-connections 1: want 2 or more`},
			{args: []string{"-kek", "azure"}, says: `-kek "azure": want one of aws, gcp, hashivault, local`},
			{args: []string{"-kek", "aws"}, says: `-kek aws needs the name of the key in -kek-key`},
			{args: []string{"-kek-token-file", "x"}, says: `-kek-token-file is for hashivault, and no key is in one; remove it`},
			{args: []string{"-database-password-file", "x"}, says: `-database-password-file is for PostgreSQL, and -database is not; remove it`},
			{args: []string{"-kek-retired", "satchel-data/kek"}, says: `want SERVICE:NAME, such as local:/etc/satchel/kek; services are aws, gcp, hashivault, local`},
			{args: []string{"-require", "ANTHROPIC_API_KEY"}, says: `want SCOPE=NAME[:KIND], such as acme/web=ANTHROPIC_API_KEY:anthropic`},
			{args: []string{"-require", "Acme=KEY"}, says: `want SCOPE=NAME[:KIND]`},
			{args: []string{"-refresh-after", "1ms"}, says: `-refresh-after 1ms: want 1s or more`},
			{args: []string{"-audit-keep", "1h"}, says: `-audit-keep 1h0m0s: want 24h or more`},
			{args: []string{"-limit-token", "-3"}, says: `want RATE[:BURST], such as 10:1000, or off`},
			{args: []string{"-limit-token", "NaN"}, says: `want RATE[:BURST], such as 10:1000, or off`},
			{args: []string{"-limit-token", "1:0"}, says: `want RATE[:BURST], such as 10:1000, or off`},
			{args: []string{"-trusted-proxy", "10.0.0.1"}, says: `-trusted-proxy: want a CIDR such as 10.0.0.0/8, or 192.0.2.7/32 for a single address`},
			{args: []string{"-log-format", "xml"}, says: `-log-format "xml": want text or json`},
			{args: []string{"-log-level", "loud"}, says: `-log-level: want debug, info, warn or error`},
			{args: []string{"-shutdown-delay", "soon"}, says: `-shutdown-delay: want a time such as 90s, 15m or 2160h`},
			{args: []string{"-database-connections", "many"}, says: `-database-connections: want a whole number such as 20`},
			{args: []string{"-insecure-loopback=maybe"}, says: `-insecure-loopback: want true or false`},
			{args: []string{"-listen", "127.0.0.1:99999"}, says: `-listen "127.0.0.1:99999": want an address and a port`},
			{args: []string{"-require", "acme=KEY:" + strings.Repeat("k", 65)}, says: `-require: want a KIND of one word`},
			{args: []string{"-require", "acme=KEY=canary"}, says: `-require: want SCOPE=NAME[:KIND]`},
			{args: []string{"-github-app-id", "1"}, says: `-github-scope is missing; the other -github settings need it`},
			{args: []string{"-github-scope", "acme"}, says: `-github-installation is missing`},
			{args: []string{"-github-name", "SATCHEL_CANARY"}, says: `-github-name: want the name of a secret`},
			{args: []string{"-bitbucket-name", "canary-1"}, says: `-bitbucket-name: want the name of a secret`},
			{args: []string{"-github-repository", "acme/web"}, says: `-github-repository: want the name of a repository without its owner`},
			{args: []string{"-notice", " "}, says: `-notice: want one line of at most 1024 bytes`},
			{args: []string{"-notice", strings.Repeat("n", 1025)}, says: `-notice: want one line of at most 1024 bytes`},
			{args: []string{"--=canary"}, says: `invalid flag; write flags like -listen :8443`},
			{args: []string{"-github-scope", "ACME"}, says: `-github-scope "ACME": want a scope such as acme/web`},
			{args: []string{"-github-permission", "contents"}, says: `want PERMISSION=LEVEL, such as contents=write`},
			{args: []string{"-bitbucket-scope", "acme"}, says: `-bitbucket-consumer-key is missing; the other -bitbucket settings need it`},
			{environ: []string{"SATCHEL_PLATFORM_LISTN=:1"}, says: `unknown setting SATCHEL_PLATFORM_LISTN in the environment; correct its name, or remove it`},
			{environ: []string{"SATCHEL_PLATFORM_LOG_LEVEL=loud"}, says: `SATCHEL_PLATFORM_LOG_LEVEL (-log-level): want debug, info, warn or error`},
			{environ: []string{"SATCHEL_PLATFORM_LIMIT_TOKEN=much"}, says: `SATCHEL_PLATFORM_LIMIT_TOKEN (-limit-token): want RATE[:BURST], such as 10:1000, or off`},
			{environ: []string{"SATCHEL_ADMIN_TOKEN=canary"}, says: `SATCHEL_ADMIN_TOKEN: want 32 to 512 printable ASCII characters`},
			{environ: []string{"SATCHEL_ADMIN_TOKEN=" + strings.Repeat("canary", 9)}, args: []string{"-admin-token-file", "x"},
				says: `-admin-token-file and SATCHEL_ADMIN_TOKEN are both set; remove one`},
		} {
			var out, stderr text
			require.Equal(t, exitUsage, run(t.Context(), test.args, test.environ, &out, &stderr), "%v %v", test.args, test.environ)
			require.Contains(t, stderr.String(), test.says)
			require.NotContains(t, stderr.String(), "canary", "possible secrets are not quoted")
			for _, internal := range []string{"netip", "slog", "parse error", "GenerateFile"} {
				require.NotContains(t, stderr.String(), internal, "errors use the terms of the documentation")
			}
			require.Empty(t, out.String())
		}
	})

	t.Run("reports all invalid settings together", func(t *testing.T) {
		key := filepath.Join(t.TempDir(), "kek")
		require.Equal(t, exitOK, first(command(t, "keygen", key)))
		require.NoError(t, os.Chmod(key, 0o644))
		for _, test := range []struct {
			args, environ []string
			says          []string // the beginning of each line
		}{
			{args: []string{"-listen", ":1", "-kek", "azure"}, environ: []string{"SATCHEL_PLATFORM_LISTN=1"},
				says: []string{"unknown setting SATCHEL_PLATFORM_LISTN", "-listen :1 is not a loopback", `-kek "azure"`}},
			{args: []string{"-limit-address", "5:0", "-limit-failures", "-1"}, says: []string{"-limit-address: ", "-limit-failures: "}},
			{args: []string{"-database-connections", "many", "-shutdown-timeout", "soon", "-refresh-after", "x", "-log-format", "xml"},
				says: []string{"-database-connections: ", "-shutdown-timeout: ", "-refresh-after: ", "-log-format "}},
			{args: []string{"-liste", ":1", "-limit-tokens=5", "-limit-token", "-3"},
				says: []string{"unknown flag -liste"}},
			{args: []string{"export", "-log-level", "loud", "-daat", "d", "x.skx"}, says: []string{"-log-level: ", "unknown flag -daat"}},
			{args: []string{"---x", "-listen", ":1"}, says: []string{"invalid flag"}},
			{args: []string{"rewrap", "x"}, says: []string{`unexpected argument "x"; rewrap takes only flags`}},
			{args: []string{"export", "-log-format", "xml"}, says: []string{"export takes one file", "-log-format "}},
			{args: []string{"-audit-keep", "1h", "-kek-key", key, "-kek-retired", "local:/nope", "-tls-cert", "/x", "-tls-key", "/y"},
				says: []string{"-audit-keep 1h0m0s: ", "-kek-key: key file ", "-kek-retired: /nope does not exist; ", "-tls-cert and -tls-key: "}},
		} {
			var out, stderr text
			environ := append(test.environ, "SATCHEL_PLATFORM_DATA="+filepath.Join(t.TempDir(), "new"))
			require.Equal(t, exitUsage, run(t.Context(), test.args, environ, &out, &stderr))
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			require.Len(t, lines, len(test.says)+1, "each problem has a line, before the last line:\n%s", &stderr)
			for i, says := range test.says {
				require.True(t, strings.HasPrefix(lines[i], "satchel-platform: "+says), "%s\nwant %s", lines[i], says)
			}
		}
	})

	t.Run("takes every flag from its variable too", func(t *testing.T) {
		c, err := parse(nil, []string{
			"SATCHEL_PLATFORM_LISTEN=127.0.0.1:1", "SATCHEL_PLATFORM_INSECURE_LOOPBACK=true", "SATCHEL_PLATFORM_DATA=", "SATCHEL_PLATFORM_LOG_LEVEL=debug",
			"SATCHEL_PLATFORM_REQUIRE=acme=ONE:github; acme/web=TWO", "SATCHEL_PLATFORM_GITHUB_PERMISSION=contents=write;issues=read", "OTHER=x",
		})
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1:1", c.listen)
		require.True(t, c.insecureLoopback)
		require.Equal(t, "satchel-data", c.data, "an empty variable counts as unset")
		require.Equal(t, []vault.Required{{Scope: "acme", Name: "ONE", Kind: "github"}, {Scope: "acme/web", Name: "TWO"}}, c.required)
		require.Equal(t, map[string]string{"contents": "write", "issues": "read"}, c.github.permissions)

		c, err = parse([]string{"-listen", "127.0.0.1:2", "-require", "acme=THREE"}, []string{"SATCHEL_PLATFORM_LISTEN=127.0.0.1:1", "SATCHEL_PLATFORM_REQUIRE=acme=ONE"})
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1:2", c.listen)
		require.Equal(t, []vault.Required{{Scope: "acme", Name: "THREE"}}, c.required, "flags replace the list of the variable")

		eachFlag(func(f *flag.Flag) {
			if _, err := parse(nil, []string{envName(f.Name) + "=\x00"}); err != nil {
				require.NotContains(t, err.Error(), "unknown setting", f.Name)
			}
		})
	})
}

func TestParse_Flags(t *testing.T) {
	c, err := parse([]string{"export", "--insecure-loopback", "-data=d=1", "--database", "-", "-insecure-loopback=false", "-log-level", "debug", "--", "-file"}, nil)
	require.NoError(t, err)
	require.False(t, c.insecureLoopback, "the last one counts")
	require.Equal(t, "d=1", c.data, "the first = ends the name")
	require.Equal(t, "-", c.database)
	require.Equal(t, slog.LevelDebug, c.logLevel)
	require.Equal(t, "-file", c.file, "-- ends the flags")

	c, err = parse([]string{"admin", "add", "-scope", "acme", "-scope=*", "-role", "read-only", "-expires", "720h", "ada"}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"admin add", "ada"}, []string{c.command, c.name}, "this command has two words")
	require.Equal(t, []string{"acme", vault.AllScopes}, c.scopes)
	require.Equal(t, api.RoleReadOnly, c.role)
	require.WithinDuration(t, time.Now().Add(720*time.Hour), c.expires, time.Minute)

	c, err = parse([]string{"export", "-insecure-loopback", "-"}, nil)
	require.NoError(t, err)
	require.True(t, c.insecureLoopback, "a switch takes no value from the next argument")
	require.Equal(t, "-", c.file)
}

func TestFlagNames(t *testing.T) {
	flags := map[string]bool{}
	eachFlag(func(f *flag.Flag) { flags["-"+f.Name] = true })
	for setting, name := range flagNames {
		require.True(t, flags[name], "%s is the flag of %s", name, setting)
	}

	dir := t.TempDir()
	c, err := parse([]string{"-data", dir}, nil)
	require.NoError(t, err)
	c.notices, c.refresh = []string{"fine", "two\nlines"}, time.Millisecond // which parse refuses
	_, err = open(t.Context(), c, slog.New(slog.DiscardHandler))
	wrong, ok := errors.AsType[unusable](err)
	require.True(t, ok, err)
	var stderr text
	require.Equal(t, exitUsage, refuse(&stderr, wrong.error))
	require.Equal(t, "satchel-platform: -notice[1] has control characters or is not valid UTF-8; use one line of plain text\n"+
		"satchel-platform: -refresh-after is 1ms; want 1s or more\n"+
		"satchel-platform: nothing was started; -help shows all settings\n", stderr.String())
}

// eachFlag calls f for every flag.
func eachFlag(f func(*flag.Flag)) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	for _, group := range groups {
		group.flags(&config{}, flags)
	}
	flags.VisitAll(f)
}

func TestConfig_Complete(t *testing.T) {
	c, err := parse([]string{"-data", "d"}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"serve", "d/satchel.db", "d/kek", "d/admin-token", "127.0.0.1:8443"}, []string{c.command, c.database, c.kek.key, c.adminTokenFile, c.listen})
	require.Equal(t, defaultNotices, c.notices)
	require.Equal(t, 15*time.Minute, c.refresh)
	require.Equal(t, vaulthttp.Limit{}, c.limitToken, "the default is vaulthttp's")

	c, err = parse([]string{"-notice", "", "-limit-token", "off", "-limit-address", "2.5", "-limit-failures", "1:9"}, nil)
	require.NoError(t, err)
	require.Empty(t, c.notices, "an empty notice means no notices")
	require.Equal(t, []vaulthttp.Limit{{PerSecond: -1}, {PerSecond: 2.5}, {PerSecond: 1, Burst: 9}}, []vaulthttp.Limit{c.limitToken, c.limitAddress, c.limitFailures})
}

func TestConfig_Postgres(t *testing.T) {
	for database, want := range map[string]bool{
		"postgres://h/d": true, "postgresql://h/d": true, "host=/run/postgresql dbname=satchel": true, "host = h": true,
		"satchel.db": false, "/var/lib/satchel/satchel.db": false, "./a=b.db": false,
	} {
		c, err := parse([]string{"-database", database}, nil)
		require.NoError(t, err, database)
		require.Equal(t, want, c.postgres(), database)
	}
}

func TestHelp(t *testing.T) {
	t.Run("shows every flag and exits with 0", func(t *testing.T) {
		for _, arg := range []string{"-h", "-help", "--help"} {
			code, out, stderr := command(t, arg)
			require.Equal(t, exitOK, code)
			require.Empty(t, stderr)
			require.Contains(t, out, "sslmode=verify-full")
			eachFlag(func(f *flag.Flag) { require.Contains(t, out, "\n  -"+f.Name+" ") })
			for name := range commands {
				require.Contains(t, out, name)
			}
		}
	})

	t.Run("the documentation names only existing flags", func(t *testing.T) {
		page, err := os.ReadFile("../../docs/platform.md")
		require.NoError(t, err)
		known := map[string]bool{"-help": true}
		eachFlag(func(f *flag.Flag) {
			known["-"+f.Name] = true
			known[envName(f.Name)] = true
		})
		named := map[string]bool{}
		for _, match := range regexp.MustCompile("`(-[a-z][a-z-]+)|(?:platform|^ +)[^\n]*? (-[a-z][a-z-]+)|(SATCHEL_PLATFORM_[A-Z_]+)").FindAllStringSubmatch(string(page), -1) {
			name := match[1] + match[2] + match[3]
			require.True(t, known[name], "%s is not a setting", name)
			named[name] = true
		}
		for _, name := range []string{"-database", "-kek", "-kek-retired", "-tls-cert", "-trusted-proxy", "-audit-file", "-shutdown-delay", "-admin-token-file", "-scope"} {
			require.True(t, named[name], "the page does not mention %s", name)
		}
	})
}
