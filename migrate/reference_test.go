package migrate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/migrate"
)

func TestClassReference(t *testing.T) {
	const lines = `POSTGRES_USER=hunter2-app
POSTGRES_PASSWORD=hunter2-postgres
DATASOURCE=postgres://${POSTGRES_USER}:${POSTGRES_PASSWORD}@postgres:5432/app
SITEURL=https://${DOMAIN}
CI_TOKEN=${{ secrets.CI_TOKEN }}
SHELL_TOKEN="Bearer $DB_USER"
COMMAND_TOKEN=` + "`pass show api`" + `
VAULT_TOKEN='op://vault/item/field'
`
	const literals = `A_PASSWORD='hunter2$HOME'
B_PASSWORD="hunter2\$HOME"
C_PASSWORD=hunter2$$HOME
D_PASSWORD=p@$w0rd-hunter2
`

	t.Run("is looked for once in each entry", func(t *testing.T) {
		var content strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&content, "API_KEY_%d=sk-ant-api03-%040d\nSITE_%d=https://${DOMAIN_%d}\n", i, i, i, i)
		}
		path := write(t, ".env", content.String())
		start := time.Now()
		require.Len(t, plan(t, path, nil).Items, 2000)
		require.Less(t, time.Since(start), 15*time.Second, "a large file takes minutes if each entry looks at all others")
	})
	t.Run("stays in the file and says why", func(t *testing.T) {
		p := newPlatform(t)
		path := write(t, ".env", lines+literals)
		planned := plan(t, path, nil)
		for _, item := range planned.Items {
			refers := strings.Contains("DATASOURCE SITEURL CI_TOKEN SHELL_TOKEN COMMAND_TOKEN VAULT_TOKEN", item.Name)
			require.Equal(t, refers, item.Class == migrate.ClassReference, "%s: %s", item.Name, item.Reason)
			if refers {
				require.Equal(t, migrate.ActionKeep, item.Action)
				require.Contains(t, item.Reason, "is not expanded: jobs get this text")
			} else {
				require.Equal(t, migrate.ActionMove, item.Action, item.Name)
			}
		}
		require.Equal(t, "its name suggests a secret; line 3 refers to it", planned.Items[1].Reason, "other tools would lack it")

		_, err := planned.Apply(t.Context(), p.to(), &migrate.ApplyOptions{Fetch: p.fetch})
		require.NoError(t, err)
		require.Equal(t, strings.Join(strings.SplitAfter(lines, "\n")[2:], ""), read(t, path))
		p.requireHas(t, map[string]string{
			"POSTGRES_USER": "hunter2-app", "POSTGRES_PASSWORD": "hunter2-postgres",
			"A_PASSWORD": "hunter2$HOME", "B_PASSWORD": "hunter2$HOME", "C_PASSWORD": "hunter2$$HOME", "D_PASSWORD": "p@$w0rd-hunter2",
		})
	})

	t.Run("moves if it is chosen", func(t *testing.T) {
		path := write(t, ".env", "A_KEY=x${B}y\nB_KEY=x${B}y\n")
		require.Equal(t, map[string]string{"A_KEY": "reference move", "B_KEY": "reference keep"}, actions(plan(t, path, &migrate.Options{Include: []string{"A_KEY"}})))
		there := fromPlatform(t, map[string]string{"A_KEY": "hunter2", "B_KEY": "hunter2"})
		require.Equal(t, map[string]string{"A_KEY": "other replace", "B_KEY": "reference keep"}, actions(plan(t, path, &migrate.Options{Bundle: there, Overwrite: []string{"A_KEY"}})))
	})

	t.Run("stays even if the platform has the same text", func(t *testing.T) {
		there := fromPlatform(t, map[string]string{"A_KEY": "x${B}y"})
		require.Equal(t, map[string]string{"A_KEY": "reference keep"}, actions(plan(t, write(t, ".env", "A_KEY=x${B}y\n"), &migrate.Options{Bundle: there})))
	})

	t.Run("is recognized in any quotes of YAML", func(t *testing.T) {
		path := write(t, "config.yaml", "A_KEY: postgres://${DB}/x\nB_KEY: 'x$DB_USER'\nC_KEY: \"{{ key }}\"\nD_KEY: |\n  one\n  $(cat key)\nE_KEY: {{ key }}\n")
		require.Equal(t, map[string]string{
			"A_KEY": "reference keep", "B_KEY": "reference keep", "C_KEY": "reference keep", "D_KEY": "reference keep", "E_KEY": "unusable keep",
		}, actions(plan(t, path, nil)))
	})
}
