package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
)

// lineOf returns the value of a name in .env, and fails if there are two.
func lineOf(t *testing.T, name string) string {
	t.Helper()
	file, err := readEnvFile(".env")
	require.NoError(t, err)
	value, ok := file.get(name)
	require.True(t, ok, "%s is in .env", name)
	return value.Reveal()
}

// flagsOf are the flags that answer everything.
func (p *platform) flagsOf(more ...string) []string {
	return append([]string{"setup", "--yes", "--platform", p.url, "--ca", p.ca, "--scope", "acme/web"}, more...)
}

func TestSetup(t *testing.T) {
	t.Run("creates a token and connects", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		require.NoError(t, os.WriteFile(".env", []byte("# mine\nEDITOR_THEME=dark\n"), 0o644))

		got := p.runner(t, p.flagsOf("--pool", "3")...).must(t, 0)
		require.Contains(t, got.out, "required        ANTHROPIC_API_KEY, present, from vault acme", "the review says what the platform knows")
		require.Contains(t, got.out, "token accepted", "it ends with the readiness checklist")
		require.Contains(t, got.out, "ready:")

		require.Equal(t, p.url, lineOf(t, urlName))
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Len(t, tokens, 1)
		require.Equal(t, tokens[0].ID, idOf(t, lineOf(t, tokenName)), "the token of the platform is in .env")
		require.Empty(t, tokens[0].Waived, "the platform's key is used")
		src, err := os.ReadFile(".env")
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(src), "# mine\nEDITOR_THEME=dark\n"), "other lines stay")
		if info, err := os.Stat(".env"); runtime.GOOS != "windows" {
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "only its owner reads the token")
		}
		settings, err := os.ReadFile("runner.yaml")
		require.NoError(t, err)
		require.Contains(t, string(settings), "backend: platform\npool: 3\n")
		requireNoCanary(t, string(settings))
	})

	t.Run("does not connect while a key is missing", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		got := p.runner(t, p.flagsOf()...).must(t, codeFailed)
		require.Contains(t, got.out, "ANTHROPIC_API_KEY is missing: put it into acme, or into the scope of the runner; get one from the console of Anthropic",
			"it says where to add what is missing")
		require.Zero(t, p.bootstraps.Load(), "it does not go online")
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Len(t, tokens, 1, "the token is created all the same")
		require.Equal(t, tokens[0].ID, idOf(t, lineOf(t, tokenName)))

		got = p.runner(t, "check").must(t, codeFailed)
		require.Contains(t, got.out, "failed   secret ANTHROPIC_API_KEY", "the runner knows what the platform requires")
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		p.runner(t, "check").must(t, 0)
	})

	t.Run("accepts a key from a local layer", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		require.NoError(t, os.WriteFile(".env", []byte("ANTHROPIC_API_KEY="+localKey+"\n"), 0o600))
		got := p.runner(t, p.flagsOf()...).must(t, 0)
		require.Contains(t, got.out, "ANTHROPIC_API_KEY, present, from dotenv .env:1")
	})

	t.Run("needs no key for a local backend", func(t *testing.T) {
		github := vault.Required{Scope: "acme", Name: "GITHUB_TOKEN", Kind: "github"}
		p := startPlatform(t, needsKey, github)
		p.put(t, "acme", "GITHUB_TOKEN", deployKey, nil)
		got := p.runner(t, p.flagsOf("--backend", "local")...).must(t, 0)
		require.Contains(t, got.out, "ANTHROPIC_API_KEY, not needed")
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Equal(t, []string{"ANTHROPIC_API_KEY"}, tokens[0].Waived, "the token does without the key of the AI, and nothing else")
		p.runner(t, "check").must(t, 0)
	})

	t.Run("keeps a valid token", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		p.setUp(t)
		before := lineOf(t, tokenName)
		again := p.runner(t, "setup", "--yes", "--pool", "5").must(t, 0)
		require.Contains(t, again.out, "is kept", "what is known from the first time is not asked")
		require.Equal(t, before, lineOf(t, tokenName))

		again = p.runner(t, "setup", "--yes", "--backend", "local").must(t, 0)
		require.Contains(t, again.out, "the one before, "+idOf(t, before)+", is not revoked by this")
		after := lineOf(t, tokenName)
		require.NotEqual(t, before, after, "another backend needs another token")

		require.NoError(t, p.vault.RevokeToken(t.Context(), idOf(t, after)))
		again = p.runner(t, "setup", "--yes").must(t, 0)
		require.NotEqual(t, after, lineOf(t, tokenName), "a revoked token is replaced")
		require.NotContains(t, again.out, "the one before", "nothing is left to be done about it")
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Len(t, tokens, 3, "no token was issued without need")
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
		got := p.runner(t, p.flagsOf("--dir", "missing")...).must(t, codeFailed)
		require.Contains(t, got.errOut, "writing missing/.env")
		tokens, err := p.vault.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Len(t, tokens, 1)
		require.False(t, tokens[0].Revoked.IsZero(), "nobody has the token, so nobody may use it")
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
		"no terminal":        {args: []string{"setup"}, code: codeUsage, says: "add --yes"},
		"no platform":        {args: []string{"setup", "--yes"}, code: codeUsage, says: "give --platform and --scope"},
		"no credential":      {env: map[string]string{adminTokenName: ""}, code: codeFailed, says: adminTokenName + " is not set"},
		"a wrong credential": {env: map[string]string{adminTokenName: "wrong"}, code: codeFailed, says: "give the credential of an administrator, in " + adminTokenName},
		"a scope of others":  {args: []string{"--scope", "globex"}, code: codeFailed, says: "403"},
		"no admin API":       {args: []string{"--admin", "https://127.0.0.1:1/admin"}, code: codeFailed, says: "GET https://127.0.0.1:1/admin/v1/readiness"},
		"no URL":             {args: []string{"--platform", "ftp://example.com"}, code: codeFailed, says: "https"},
		"plain text":         {args: []string{"--platform", "http://192.0.2.1"}, code: codeFailed, says: "; use https"},
		"no scope":           {args: []string{"--scope", "Not A Scope"}, code: codeFailed, says: "this is no scope"},
		"an unknown backend": {args: []string{"--backend", "cloud"}, code: codeUsage, says: "platform or local"},
		"a pool of less":     {args: []string{"--pool", "-1"}, code: codeUsage, says: "from 1 to"},
		"a pool of none":     {args: []string{"--pool", "0"}, code: codeUsage, says: "from 1 to"},
		"a token around":     {env: map[string]string{tokenName: "rnt_x"}, code: codeFailed, says: "is set in the environment"},
		"another platform":   {env: map[string]string{urlName: "https://elsewhere.example.com"}, code: codeFailed, says: "names another platform"},
		"no certificates":    {args: []string{"--ca", empty}, code: codeFailed, says: "no certificate"},
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
			require.Contains(t, got.errOut, c.says, "the error names the fix")
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
	require.Contains(t, got.errOut, "expected at the platform's URL and /admin; --admin of `satchel setup` names another place")
	got = p.runner(t, "setup", "--yes", "--platform", p.url, "--scope", "acme/web").must(t, codeFailed)
	require.Contains(t, got.errOut, "or to the file of --ca of `satchel setup`", "who has no Go program has flags")
}

func TestSettings_CA(t *testing.T) {
	p := startPlatform(t)
	dir, err := os.Getwd()
	require.NoError(t, err)
	ca, err := os.ReadFile(p.ca)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("ca.pem", ca, 0o600))
	p.runner(t, "setup", "--yes", "--platform", p.url, "--ca", "ca.pem", "--scope", "acme/web").must(t, 0)
	t.Chdir(t.TempDir())
	p.runner(t, "check", "--dir", dir).must(t, 0)

	settings, err := home(dir).readSettings()
	require.NoError(t, err)
	settings.CA = "ca.pem"
	require.NoError(t, home(dir).writeSettings(settings))
	p.runner(t, "check", "--dir", dir).must(t, 0)
}
