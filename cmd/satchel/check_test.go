package main

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
)

func TestCheck(t *testing.T) {
	t.Run("reports readiness in the exit code", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
		p.setUp(t)
		before := p.bootstraps.Load()
		p.runner(t, "check").must(t, 0)
		require.EqualValues(t, before+1, p.bootstraps.Load(), "it sends one request")
		p.runner(t, "check", "--require", "DEPLOY_TOKEN").must(t, 0)
		got := p.runner(t, "check", "--require", "NPM_TOKEN").must(t, codeFailed)
		require.Contains(t, got.out, "fix: add it on the platform, or to a local layer")

		require.NoError(t, p.vault.RevokeToken(t.Context(), idOf(t, lineOf(t, tokenName))))
		got = p.runner(t, "check").must(t, codeFailed)
		require.Contains(t, got.out, "revoked")
	})

	t.Run("prints JSON", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		var got reportJSON
		require.NoError(t, json.Unmarshal([]byte(p.runner(t, "check", "--json").must(t, 0).out), &got))
		require.True(t, got.Ready)
		require.Equal(t, itemJSON{Status: "ok", Name: "URL of the platform", Detail: p.url + "/runners/bootstrap"}, got.Items[0])
		require.NoError(t, json.Unmarshal([]byte(p.runner(t, "check", "--json", "--require", "NPM_TOKEN").must(t, codeFailed).out), &got))
		require.False(t, got.Ready)
	})

	t.Run("accepts a required secret from a local layer", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		p.runner(t, p.flagsOf()...).must(t, codeFailed)
		p.runner(t, "check").must(t, codeFailed)
		appendTo(t, runnerEnv(t), "ANTHROPIC_API_KEY="+localKey+"\n")
		p.runner(t, "check").must(t, 0)
	})
}

func TestHome_NotSetUp(t *testing.T) {
	t.Run("every command advises setup", func(t *testing.T) {
		p := startPlatform(t)
		for _, args := range [][]string{{"check"}, {"explain"}, {"serve", "--stdin"}, {"run", "--", "true"}} {
			got := p.runner(t, args...)
			require.NotZero(t, got.code)
			require.Contains(t, got.errOut, "`satchel setup` writes both lines into "+runnerEnv(t))
		}
	})

	t.Run("setup is advised only for a missing line", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		own, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		advice := "`satchel setup` writes both lines into " + runnerEnv(t)
		for content, missing := range map[string]bool{
			"":                           true,
			urlName + "=" + p.url + "\n": true,
			string(own) + "A=1\nA=2\n":   false, // setup would fail too
			string(own) + "no entry\n":   false,
			"no entry\n":                 false,
			urlName + "=" + p.url + "\n" + tokenName + "=mistyped\n": false,
		} {
			overwriteFile(t, runnerEnv(t), content)
			got := p.runner(t, "check").must(t, codeFailed)
			if missing {
				require.Contains(t, got.errOut, advice)
			} else {
				require.NotContains(t, got.errOut, advice, "setup does not fix\n%s", got.errOut)
			}
		}
	})
}

func TestExplain(t *testing.T) {
	t.Run("reports the origin of a secret", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		expires := time.Now().Add(240 * time.Hour).UTC().Truncate(time.Second)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, &vault.PutOptions{Kind: "custom", Expires: expires})
		p.runner(t, p.flagsOf()...).must(t, codeFailed)

		var got explanation
		explain := func(name string) {
			got = explanation{}
			require.NoError(t, json.Unmarshal([]byte(p.runner(t, "explain", name, "--json").must(t, 0).out), &got))
		}
		explain("DEPLOY_TOKEN")
		require.Equal(t, "bootstrap "+p.url, got.From)
		require.Equal(t, "acme", got.Scope)
		require.EqualValues(t, 1, got.Version)
		require.Equal(t, expires, got.Expires)
		require.WithinDuration(t, time.Now(), got.Fetched, time.Minute)
		require.Equal(t, "de****R2", got.Preview)
		require.Empty(t, got.Shadows)

		appendTo(t, runnerEnv(t), "DEPLOY_TOKEN="+localKey+"\n")
		explain("DEPLOY_TOKEN")
		require.Equal(t, "dotenv "+runnerEnv(t)+":3", got.From, "the local layer shadows the platform")
		require.Equal(t, []shadowJSON{{From: "bootstrap " + p.url}}, got.Shadows)
		text := p.runner(t, "explain", "DEPLOY_TOKEN").must(t, 0).out
		require.Contains(t, text, "shadows   another value of bootstrap "+p.url)

		unknown := p.runner(t, "explain", "DEPLOY_TOKNE").must(t, codeFailed)
		require.Contains(t, unknown.errOut, "did you mean DEPLOY_TOKEN?")
		missing := p.runner(t, "explain", "ANTHROPIC_API_KEY").must(t, codeFailed)
		require.Contains(t, missing.errOut, "required but missing", "the platform's reason is passed on")
		slip := p.runner(t, "explain", "ANTHROPIC_APY_KEY").must(t, codeFailed)
		require.Contains(t, slip.errOut, "did you mean ANTHROPIC_API_KEY?", "missing secrets are suggested too")
		require.Contains(t, p.runner(t, "explain").must(t, 0).errOut, "ANTHROPIC_API_KEY is missing: bootstrap "+p.url+": required but missing")
		require.Contains(t, p.runner(t, "explain").must(t, 0).out, "DEPLOY_TOKEN  lo****8o  dotenv "+runnerEnv(t)+":3  bootstrap "+p.url)
	})

	t.Run("lists no secrets as an empty array", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		require.Equal(t, "[]\n", p.runner(t, "explain", "--json").must(t, 0).out)
	})
}

func TestCheck_References(t *testing.T) {
	p := startPlatform(t)
	p.setUp(t)
	appendTo(t, runnerEnv(t), "DATASOURCE=postgres://${DB_USER}:"+localKey+"@db\nLITERAL='a${B}c'\n")
	require.NoError(t, os.WriteFile(runnerHome(t).yaml(), []byte("CI_TOKEN: ${{ secrets.CI_TOKEN }}\n"), 0o600))
	const why = "refers to a variable, as in ${NAME}, which is not expanded: jobs get this text"
	got := p.runner(t, "check").must(t, 0).out
	require.Regexp(t, `warning  reference DATASOURCE +dotenv \S*\.env:3 `+regexp.QuoteMeta(why), got)
	require.Regexp(t, `warning  reference CI_TOKEN +yaml \S*secrets.yaml:1 refers to an expression`, got)
	require.NotContains(t, got, "LITERAL")

	require.Contains(t, p.runner(t, "explain", "DATASOURCE").must(t, 0).out, "problem   "+why)
	all := p.runner(t, "explain").must(t, 0)
	require.Regexp(t, `(?m)^DATASOURCE: dotenv \S*\.env:3 `+regexp.QuoteMeta(why), all.errOut)
	require.Contains(t, all.errOut, "CI_TOKEN: ")
	require.NotContains(t, all.errOut, "LITERAL")
	var one explanation
	require.NoError(t, json.Unmarshal([]byte(p.runner(t, "explain", "CI_TOKEN", "--json").must(t, 0).out), &one))
	require.Len(t, one.Problems, 1)
}

func TestHint_RevokedToken(t *testing.T) {
	p := startPlatform(t)
	p.setUp(t)
	require.NoError(t, p.vault.RevokeToken(t.Context(), idOf(t, lineOf(t, tokenName))))
	for code, args := range map[int][]string{codeNoJob: {"run", "--", "true"}, codeFailed: {"explain"}} {
		got := p.runner(t, args...).must(t, code)
		require.Equal(t, 1, strings.Count(got.errOut, "the token was revoked"), "it is reported once, without a retry:\n%s", got.errOut)
		require.Contains(t, got.errOut, "`satchel setup` gives the runner a new token")
	}
	got := p.runner(t, "migrate", runnerEnv(t)).must(t, codeFailed)
	require.Contains(t, got.errOut, "`satchel setup` gives the runner a new token")
}

func TestConnect_Timeout(t *testing.T) {
	p := startPlatform(t)
	p.setUp(t)
	p.down.Store(new(http.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))))
	got := p.runner(t, "run", "--timeout", "2s", "--", "true").must(t, codeNoJob)
	require.Equal(t, 1, strings.Count(got.errOut, "waiting for bootstrap "+p.url), "the reason is reported once:\n%s", got.errOut)
	require.NotContains(t, got.errOut, "level=WARN")
	require.Contains(t, got.errOut, "502")
	p.runner(t, "explain", "--timeout", "100ms").must(t, codeFailed)
}
