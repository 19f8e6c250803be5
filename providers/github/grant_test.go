package github_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/providers/internal/gitserver"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

func TestGrant(t *testing.T) {
	t.Run("has a problem for each difference", func(t *testing.T) {
		type permissions = map[string]string
		repositories := func(names ...string) []any {
			list := []any{}
			for _, name := range names {
				list = append(list, map[string]string{"name": name})
			}
			return list
		}
		const more, less = "the token has more access than requested: ", "the token has less access than requested: "
		for name, row := range map[string]struct {
			changes map[string]any
			want    []string
		}{
			"as requested":                {nil, nil},
			"another case":                {map[string]any{"repositories": repositories("WEB")}, nil},
			"no lists in the response":    {map[string]any{"permissions": nil, "repositories": nil}, nil},
			"one permission more":         {map[string]any{"permissions": permissions{"contents": "write", "administration": "write"}}, []string{more + "administration: write"}},
			"a higher level":              {map[string]any{"permissions": permissions{"contents": "admin"}}, []string{more + "contents: admin"}},
			"metadata at write":           {map[string]any{"permissions": permissions{"contents": "write", "metadata": "write"}}, []string{more + "metadata: write"}},
			"a lower level":               {map[string]any{"permissions": permissions{"contents": "read"}}, []string{less + "contents: read"}},
			"one permission less":         {map[string]any{"permissions": permissions{"metadata": "read"}}, []string{less + "no contents"}},
			"none":                        {map[string]any{"permissions": permissions{}}, []string{less + "no contents"}},
			"an invalid level":            {map[string]any{"permissions": permissions{"contents": "canary"}}, []string{more + "contents at another level", less + "no contents"}},
			"an invalid name":             {map[string]any{"permissions": permissions{"contents": "write", "ghs_Canary1": "read"}}, []string{more + "another permission"}},
			"a long name":                 {map[string]any{"permissions": permissions{"contents": "write", strings.Repeat("canary", 11): "read"}}, []string{more + "another permission"}},
			"all repositories":            {map[string]any{"repository_selection": "all", "repositories": nil}, []string{more + "all repositories"}},
			"two repositories more":       {map[string]any{"repositories": repositories("web", "canary", "Canary-2")}, []string{more + "other repositories: 2"}},
			"another repository":          {map[string]any{"repositories": repositories("canary")}, []string{more + "other repositories: 1", less + "no repository web"}},
			"no repository":               {map[string]any{"repositories": repositories()}, []string{less + "no repository web"}},
			"more and less":               {map[string]any{"permissions": permissions{"issues": "read"}, "repositories": repositories()}, []string{more + "issues: read", less + "no contents, no repository web"}},
			"a list and all repositories": {map[string]any{"repository_selection": "all"}, []string{more + "all repositories"}},
		} {
			t.Run(name, func(t *testing.T) {
				s, app := gitHub(t)
				s.Instead(func(w http.ResponseWriter, _ *http.Request) { writeGrant(w, row.changes) })
				b, err := app.Fetch(t.Context(), nil)
				require.NoError(t, err)
				require.Equal(t, "ghs_granted", remotetest.OnlySecret(t, b).Value.Reveal(), "the token is still delivered")
				var reasons []string
				for _, p := range b.Problems() {
					reasons = append(reasons, p.Reason)
					require.Equal(t, "GITHUB_TOKEN", p.Name)
					require.Equal(t, remotetest.OnlySecret(t, b).Origin, p.Origin)
					require.False(t, p.Retryable, "the settings must change")
					require.NotContains(t, p.Reason, "anary", "possible secrets are not shown")
				}
				require.Equal(t, row.want, reasons)
			})
		}
	})

	t.Run("is compared after a mint", func(t *testing.T) {
		s, app := gitHub(t)
		s.Widen(map[string]string{"workflows": "write"})
		b, err := app.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, "the token has more access than requested: workflows: write", b.Problems()[0].Reason)

		s.Install(42, gitserver.Installation{App: testApp, Repositories: []string{"web"}, Permissions: map[string]string{"contents": "write"}})
		s.Widen(nil)
		b, err = app.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, b.Problems())
	})
}
