package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/vault"
)

// lineOf returns the value of a name in .env.
func lineOf(t *testing.T, name string) string {
	t.Helper()
	file, err := readEnvFile(runnerEnv(t))
	require.NoError(t, err)
	value, ok := file.get(name)
	require.True(t, ok, "%s is in .env", name)
	return value.Reveal()
}

// flagsOf returns a command line of setup that answers all questions.
func (p *platform) flagsOf(more ...string) []string {
	return append([]string{"setup", "--yes", "--platform", p.url, "--ca", p.ca, "--scope", "acme/web"}, more...)
}

func TestSetup(t *testing.T) {
	t.Run("creates a token and connects", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		require.NoError(t, os.WriteFile(runnerEnv(t), []byte("# mine\nEDITOR_THEME=dark\n"), 0o644))

		got := p.runner(t, p.flagsOf("--pool", "3")...).must(t, 0)
		require.Contains(t, got.out, "required         ANTHROPIC_API_KEY, present, from vault acme", "the review shows the required secrets")
		require.Contains(t, got.out, "token accepted", "the output ends with the readiness report")
		require.Contains(t, got.out, "ready:")

		require.Equal(t, p.url, lineOf(t, urlName))
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Len(t, tokens, 1)
		require.Equal(t, tokens[0].ID, idOf(t, lineOf(t, tokenName)), "the token of the platform is in .env")
		require.Empty(t, tokens[0].Waived, "the platform's key is still required")
		src, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(src), "# mine\nEDITOR_THEME=dark\n"), "other lines stay")
		if info, err := os.Stat(runnerEnv(t)); runtime.GOOS != "windows" {
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "only its owner reads the token")
		}
		settings, err := os.ReadFile(runnerHome(t).settings())
		require.NoError(t, err)
		require.Contains(t, string(settings), "backend: platform\npool: 3\n")
		leaktest.NoCanary(t, string(settings), "the settings", canaries...)
	})

	t.Run("does not connect while a key is missing", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		got := p.runner(t, p.flagsOf()...).must(t, codeFailed)
		require.Contains(t, got.out, "ANTHROPIC_API_KEY is missing: put it into acme, or into the scope of the runner; get one from the console of Anthropic",
			"the output tells where to add the secret")
		require.Zero(t, p.bootstraps.Load(), "it does not connect")
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Len(t, tokens, 1, "it creates the token")
		require.Equal(t, tokens[0].ID, idOf(t, lineOf(t, tokenName)))

		got = p.runner(t, "check").must(t, codeFailed)
		require.Contains(t, got.out, "failed   secret ANTHROPIC_API_KEY", "check knows the required secrets of the platform")
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		p.runner(t, "check").must(t, 0)
	})

	t.Run("accepts a key from a local layer", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		require.NoError(t, os.WriteFile(runnerEnv(t), []byte("ANTHROPIC_API_KEY="+localKey+"\n"), 0o600))
		got := p.runner(t, p.flagsOf()...).must(t, 0)
		require.Contains(t, got.out, "ANTHROPIC_API_KEY, present, from dotenv "+runnerEnv(t)+":1")
	})

	t.Run("needs no key for a local backend", func(t *testing.T) {
		github := vault.Required{Scope: "acme", Name: "GITHUB_TOKEN", Kind: "github"}
		p := startPlatform(t, needsKey, github)
		p.put(t, "acme", "GITHUB_TOKEN", deployKey, nil)
		got := p.runner(t, p.flagsOf("--backend", "local")...).must(t, 0)
		require.Contains(t, got.out, "ANTHROPIC_API_KEY, not needed")
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Equal(t, []string{"ANTHROPIC_API_KEY"}, tokens[0].Waived, "only the key of the AI is waived")
		p.runner(t, "check").must(t, 0)
	})

	t.Run("keeps a valid token", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		p.setUp(t)
		before := lineOf(t, tokenName)
		again := p.runner(t, "setup", "--yes", "--pool", "5").must(t, 0)
		require.Contains(t, again.out, "kept token ", "answers of the first setup are kept")
		require.Equal(t, before, lineOf(t, tokenName))

		again = p.runner(t, "setup", "--yes", "--backend", "local").must(t, 0)
		require.Contains(t, again.out, "the previous token, "+idOf(t, before)+", was not revoked")
		after := lineOf(t, tokenName)
		require.NotEqual(t, before, after, "another backend needs another token")

		require.NoError(t, p.vault.RevokeToken(t.Context(), idOf(t, after)))
		again = p.runner(t, "setup", "--yes").must(t, 0)
		require.NotEqual(t, after, lineOf(t, tokenName), "a revoked token is replaced")
		require.NotContains(t, again.out, "previous token", "a revoked token needs no action")
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Len(t, tokens, 3, "no needless token was issued")
	})

	t.Run("keeps the token in a file of its own", func(t *testing.T) {
		p := startPlatform(t)
		overwriteFile(t, runnerEnv(t), tokenFileName+"=token\n")
		path := filepath.Join(string(runnerHome(t)), "token")
		got := p.runner(t, p.flagsOf()...).must(t, 0)
		require.Contains(t, got.out, "and wrote it to "+path)
		src, err := os.ReadFile(path)
		require.NoError(t, err)
		id := idOf(t, strings.TrimSpace(string(src)))
		require.Contains(t, p.runner(t, "setup", "--yes").must(t, 0).out, "kept token "+id)
		lines, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		require.Equal(t, tokenFileName+"=token\n"+urlName+"="+p.url+"\n", string(lines))
		if info, err := os.Stat(path); runtime.GOOS != "windows" {
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		}
		t.Setenv(tokenFileName, path)
		require.Contains(t, p.runner(t, "setup", "--yes").must(t, codeFailed).errOut, tokenFileName+" in the environment would override the token")
	})

	t.Run("prints JSON", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		var got setupJSON
		require.NoError(t, json.Unmarshal([]byte(p.runner(t, p.flagsOf("--json")...).must(t, codeFailed).out), &got))
		require.Equal(t, []string{"ANTHROPIC_API_KEY"}, got.Missing)
		require.True(t, got.Created)
		require.Nil(t, got.Report)

		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		require.NoError(t, json.Unmarshal([]byte(p.runner(t, p.flagsOf("--json")...).must(t, 0).out), &got))
		require.True(t, got.Ready)
		require.False(t, got.Created)
		require.NotEmpty(t, got.Report.Items)
	})

	t.Run("revokes a token that cannot be stored", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		require.NoError(t, os.Mkdir("folder", 0o700))
		overwriteFile(t, filepath.Join("folder", ".env"), tokenFileName+"=missing/token\n")
		got := p.runner(t, p.flagsOf("--dir", "folder")...).must(t, codeFailed)
		require.Contains(t, got.errOut, "missing/token")
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Len(t, tokens, 1)
		require.False(t, tokens[0].Revoked.IsZero(), "the lost token was revoked")
	})
}

func TestSetup_Refused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	overwriteFile(t, empty, "")
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		code int
		says string
	}{
		"no terminal":                {args: []string{"setup"}, code: codeUsage, says: "add --yes"},
		"no platform":                {args: []string{"setup", "--yes"}, code: codeUsage, says: "give --platform and --scope"},
		"no credential":              {env: map[string]string{adminTokenName: ""}, code: codeFailed, says: adminTokenName + " is not set"},
		"a wrong credential":         {env: map[string]string{adminTokenName: "wrong"}, code: codeFailed, says: "set " + adminTokenName + " to an administrator's token"},
		"a foreign scope":            {args: []string{"--scope", "globex"}, code: codeFailed, says: "403"},
		"no admin API":               {args: []string{"--admin", "https://127.0.0.1:1/admin"}, code: codeFailed, says: "GET https://127.0.0.1:1/admin/v1/readiness"},
		"an invalid URL":             {args: []string{"--platform", "ftp://example.com"}, code: codeFailed, says: "https"},
		"plain HTTP":                 {args: []string{"--platform", "http://192.0.2.1"}, code: codeFailed, says: "; use https"},
		"an invalid scope":           {args: []string{"--scope", "Not A Scope"}, code: codeFailed, says: "acme/web/pool-a"},
		"an unknown backend":         {args: []string{"--backend", "cloud"}, code: codeUsage, says: "platform or local"},
		"a negative pool":            {args: []string{"--pool", "-1"}, code: codeUsage, says: "from 1 to"},
		"an empty pool":              {args: []string{"--pool", "0"}, code: codeUsage, says: "from 1 to"},
		"a token in the environment": {env: map[string]string{tokenName: "rnt_x"}, code: codeFailed, says: "in the environment would override the token"},
		"another platform":           {env: map[string]string{urlName: "https://elsewhere.example.com"}, code: codeFailed, says: "names another platform"},
		"no certificates":            {args: []string{"--ca", empty}, code: codeFailed, says: "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t, needsKey)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			args := c.args
			if len(args) == 0 || args[0] != "setup" {
				args = p.flagsOf(args...)
			}
			got := p.runner(t, args...).must(t, c.code)
			require.Contains(t, got.errOut, c.says, "the error names a fix")
			tokens, err := p.vault.Tokens(t.Context(), "acme/web")
			require.NoError(t, err)
			require.Empty(t, tokens)
			left, err := os.ReadDir(".")
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestHint_AdminURL(t *testing.T) {
	p := startPlatform(t)
	got := p.runner(t, p.flagsOf("--admin", p.url+"/elsewhere")...).must(t, codeFailed)
	require.Contains(t, got.errOut, "expected at the platform's URL followed by /admin; `satchel setup --admin URL` sets another one")
	got = p.runner(t, "setup", "--yes", "--platform", p.url, "--scope", "acme/web").must(t, codeFailed)
	require.Contains(t, got.errOut, "or to the file of `satchel setup --ca`", "the error names a flag instead of a Go field")
}

func TestSettings_CA(t *testing.T) {
	p := startPlatform(t)
	dir, err := os.Getwd()
	require.NoError(t, err)
	ca, err := os.ReadFile(p.ca)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("ca.pem", ca, 0o600))
	p.runner(t, "setup", "--yes", "--dir", ".", "--platform", p.url, "--ca", "ca.pem", "--scope", "acme/web").must(t, 0)
	t.Chdir(t.TempDir())
	p.runner(t, "check", "--dir", dir).must(t, 0)

	settings, err := home(dir).readSettings()
	require.NoError(t, err)
	settings.CA = "ca.pem"
	require.NoError(t, home(dir).writeSettings(settings))
	p.runner(t, "check", "--dir", dir).must(t, 0)
}
