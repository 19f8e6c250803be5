package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/migrate"
)

// mine is a .env from before the platform; setup adds the runner's lines after it.
const mine = "# my keys\nANTHROPIC_API_KEY=" + aiKey + "\nPORT=8080\n\n# deployment\nDEPLOY_TOKEN='" + localKey + "' # since May\n"

func TestMigrate(t *testing.T) {
	t.Run("shows a plan first and then moves secrets", func(t *testing.T) {
		p := startPlatform(t)
		require.NoError(t, os.WriteFile(runnerEnv(t), []byte(mine), 0o600))
		p.setUp(t)
		before, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)

		plan := p.runner(t, "migrate", runnerEnv(t)).must(t, 0)
		require.Contains(t, plan.out, "2 to move", "the output begins with the plan")
		require.Contains(t, plan.errOut, "nothing was changed; add --yes to apply the plan to scope acme/web")
		after, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))

		p.runner(t, "migrate", runnerEnv(t), "--yes").must(t, 0)
		after, err = os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		two := strings.TrimPrefix(string(before), mine)
		require.Equal(t, "# my keys\nPORT=8080\n\n# deployment\n"+two, string(after), "only the lines of secrets are removed")
		backups, err := filepath.Glob(runnerEnv(t) + ".bak-*")
		require.NoError(t, err)
		require.Len(t, backups, 1)
		kept, err := os.ReadFile(backups[0])
		require.NoError(t, err)
		require.Equal(t, string(before), string(kept), "the backup has the old content")

		var got explanation
		require.NoError(t, json.Unmarshal([]byte(p.runner(t, "explain", "DEPLOY_TOKEN", "--json").must(t, 0).out), &got))
		require.Equal(t, "bootstrap "+p.url, got.From, "the platform delivers the secret")
		require.Equal(t, "acme/web", got.Scope)
		p.runner(t, "migrate", runnerEnv(t), "--yes").must(t, 0) // nothing is left to do
	})

	t.Run("leaves a secret that differs on the platform", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
		require.NoError(t, os.WriteFile(runnerEnv(t), []byte(mine), 0o600))
		p.setUp(t)
		var plan migrate.Plan
		require.NoError(t, json.Unmarshal([]byte(p.runner(t, "migrate", runnerEnv(t), "--json").must(t, 0).out), &plan))
		require.Equal(t, "DEPLOY_TOKEN", plan.Items[2].Name)
		require.Equal(t, migrate.ClassOther, plan.Items[2].Class)

		var result migrate.Result
		require.NoError(t, json.Unmarshal([]byte(p.runner(t, "migrate", runnerEnv(t), "--yes", "--json").must(t, 0).out), &result))
		require.Len(t, result.Outcomes, 1)
		file, err := readEnvFile(runnerEnv(t))
		require.NoError(t, err)
		_, left := file.get("DEPLOY_TOKEN")
		require.True(t, left, "the local value still has precedence")

		p.runner(t, "migrate", runnerEnv(t), "--overwrite", "DEPLOY_TOKEN", "--yes").must(t, 0)
		file, err = readEnvFile(runnerEnv(t))
		require.NoError(t, err)
		_, left = file.get("DEPLOY_TOKEN")
		require.False(t, left)
	})

	t.Run("moves secrets of a YAML file", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		require.NoError(t, os.WriteFile(runnerHome(t).yaml(), []byte("# mine\nDEPLOY_TOKEN: "+localKey+"\nLOG_LEVEL: debug\n"), 0o600))
		p.runner(t, "migrate", runnerHome(t).yaml(), "--scope", "acme", "--yes").must(t, 0)
		left, err := os.ReadFile(runnerHome(t).yaml())
		require.NoError(t, err)
		require.Equal(t, "# mine\nLOG_LEVEL: debug\n", string(left))
		infos, err := p.vault.List(t.Context(), "acme")
		require.NoError(t, err)
		require.Len(t, infos, 1, "the secret is in the scope of --scope")
	})

	t.Run("lists duplicate names", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		before, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		appendTo(t, runnerEnv(t), "DUP_KEY="+localKey+"\nDUP_KEY="+localKey+"\n")
		refused := p.runner(t, "run", "--", "true").must(t, codeNoJob)
		require.Contains(t, refused.errOut, ".env:4: DUP_KEY is set a second time", "the duplicate is refused")

		var plan migrate.Plan
		require.NoError(t, json.Unmarshal([]byte(p.runner(t, "migrate", runnerEnv(t), "--json").must(t, 0).out), &plan))
		require.Len(t, plan.Items, 4)
		for _, item := range plan.Items[2:] {
			require.Equal(t, "DUP_KEY", item.Name)
			require.Equal(t, migrate.ClassDuplicate, item.Class)
		}
		p.runner(t, "migrate", runnerEnv(t), "--yes").must(t, 0)
		after, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		require.Equal(t, string(before), string(after), "both lines are removed")
		p.runner(t, "check", "--require", "DUP_KEY").must(t, 0)
	})

	t.Run("does not guess the runner's own lines", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		own, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		const twice = "DUP_KEY=1234567\nDUP_KEY=7654321\n"
		overwriteFile(t, runnerEnv(t), twice+string(own)+urlName+"="+p.url+"\n")
		p.runner(t, "migrate", runnerEnv(t)).must(t, 0) // a duplicate with the same value is unambiguous
		for says, content := range map[string]string{
			".env:5: " + urlName + " is set again to a different value, after line 3": twice + string(own) + urlName + "=https://elsewhere.example.com\n",
			tokenName + " is not set; set in the environment or " + runnerEnv(t):      twice + urlName + "=" + p.url + "\n",
			"URL of the platform: ": twice + urlName + "=https://user:" + localKey + "@example.com\n" + tokenName + "=rnt_x\n",
			".env:3: ":              twice + "no entry\n" + string(own),
		} {
			overwriteFile(t, runnerEnv(t), content)
			require.Contains(t, p.runner(t, "migrate", runnerEnv(t)).must(t, codeFailed).errOut, says)
		}
	})

	t.Run("changes nothing when it is refused", func(t *testing.T) {
		p := startPlatform(t)
		require.NoError(t, os.WriteFile(runnerEnv(t), []byte(mine), 0o600))
		p.setUp(t)
		before, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		t.Setenv(adminTokenName, "wrong")
		got := p.runner(t, "migrate", runnerEnv(t), "--yes").must(t, codeFailed)
		require.Contains(t, got.errOut, "401")
		t.Setenv(adminTokenName, "")
		got = p.runner(t, "migrate", runnerEnv(t), "--yes").must(t, codeFailed)
		require.Contains(t, got.errOut, adminTokenName+" is not set")
		after, err := os.ReadFile(runnerEnv(t))
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))
		p.runner(t, "migrate").must(t, codeUsage)
		p.runner(t, "migrate", runnerEnv(t), "--exclude", "NOT_THERE").must(t, codeFailed)
	})
}
