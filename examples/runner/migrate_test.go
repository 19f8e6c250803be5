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

// mine is a .env of somebody who starts to use the platform; the runner's own
// lines are behind it.
const mine = "# my keys\nANTHROPIC_API_KEY=" + aiKey + "\nPORT=8080\n\n# deployment\nDEPLOY_TOKEN='" + localKey + "' # since May\n"

func TestMigrateShowsAPlanFirstAndThenMovesSecrets(t *testing.T) {
	p := startPlatform(t)
	require.NoError(t, os.WriteFile(".env", []byte(mine), 0o600))
	p.setUp(t)
	before, err := os.ReadFile(".env")
	require.NoError(t, err)

	plan := p.runner(t, "migrate", ".env").must(t, 0)
	require.Contains(t, plan.out, "2 to move", "the plan comes first")
	require.Contains(t, plan.errOut, "nothing was changed; with --yes this is done, into scope acme/web")
	after, err := os.ReadFile(".env")
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))

	p.runner(t, "migrate", ".env", "--yes").must(t, 0)
	after, err = os.ReadFile(".env")
	require.NoError(t, err)
	two := strings.TrimPrefix(string(before), mine)
	require.Equal(t, "# my keys\nPORT=8080\n\n# deployment\n"+two, string(after), "their lines are gone, and nothing else")
	backups, err := filepath.Glob(".env.bak-*")
	require.NoError(t, err)
	require.Len(t, backups, 1)
	kept, err := os.ReadFile(backups[0])
	require.NoError(t, err)
	require.Equal(t, string(before), string(kept), "a copy of the file stays")

	var got explanation
	require.NoError(t, json.Unmarshal([]byte(p.runner(t, "explain", "DEPLOY_TOKEN", "--json").must(t, 0).out), &got))
	require.Equal(t, "bootstrap "+p.url, got.From, "the runner gets it from the platform now")
	require.Equal(t, "acme/web", got.Scope)
	p.runner(t, "migrate", ".env", "--yes").must(t, 0) // there is nothing left to do
}

func TestMigrateLeavesWhatThePlatformHasOtherwise(t *testing.T) {
	p := startPlatform(t)
	p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
	require.NoError(t, os.WriteFile(".env", []byte(mine), 0o600))
	p.setUp(t)
	var plan migrate.Plan
	require.NoError(t, json.Unmarshal([]byte(p.runner(t, "migrate", ".env", "--json").must(t, 0).out), &plan))
	require.Equal(t, "DEPLOY_TOKEN", plan.Items[2].Name)
	require.Equal(t, migrate.ClassOther, plan.Items[2].Class)

	var result migrate.Result
	require.NoError(t, json.Unmarshal([]byte(p.runner(t, "migrate", ".env", "--yes", "--json").must(t, 0).out), &result))
	require.Len(t, result.Outcomes, 1)
	file, err := readEnvFile(".env")
	require.NoError(t, err)
	_, left := file.get("DEPLOY_TOKEN")
	require.True(t, left, "the local value goes on to win")

	p.runner(t, "migrate", ".env", "--overwrite", "DEPLOY_TOKEN", "--yes").must(t, 0)
	file, err = readEnvFile(".env")
	require.NoError(t, err)
	_, left = file.get("DEPLOY_TOKEN")
	require.False(t, left)
}

func TestMigrateMovesTheSecretsOfYAML(t *testing.T) {
	p := startPlatform(t)
	p.setUp(t)
	require.NoError(t, os.WriteFile("secrets.yaml", []byte("# mine\nDEPLOY_TOKEN: "+localKey+"\nLOG_LEVEL: debug\n"), 0o600))
	p.runner(t, "migrate", "secrets.yaml", "--scope", "acme", "--yes").must(t, 0)
	left, err := os.ReadFile("secrets.yaml")
	require.NoError(t, err)
	require.Equal(t, "# mine\nLOG_LEVEL: debug\n", string(left))
	infos, err := p.vault.List(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, infos, 1, "it is in the scope that was named")
}

func TestMigrateThatIsRefusedChangesNothing(t *testing.T) {
	p := startPlatform(t)
	require.NoError(t, os.WriteFile(".env", []byte(mine), 0o600))
	p.setUp(t)
	before, err := os.ReadFile(".env")
	require.NoError(t, err)
	t.Setenv(adminTokenName, "wrong")
	got := p.runner(t, "migrate", ".env", "--yes").must(t, codeFailed)
	require.Contains(t, got.errOut, "401")
	t.Setenv(adminTokenName, "")
	got = p.runner(t, "migrate", ".env", "--yes").must(t, codeFailed)
	require.Contains(t, got.errOut, adminTokenName+" is not set")
	after, err := os.ReadFile(".env")
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
	p.runner(t, "migrate").must(t, codeUsage)
	p.runner(t, "migrate", ".env", "--exclude", "NOT_THERE").must(t, codeFailed)
}
