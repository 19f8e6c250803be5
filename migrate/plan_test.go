package migrate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/migrate"
	"github.com/satchelhq/satchel/providers"
)

const sample = `# the runner's own
SATCHEL_API_URL=https://satchel.example.com
SATCHEL_RUNNER_TOKEN=rnt_notarealtokenofanyrunner

# settings
PORT=8080
LOG_LEVEL=info

ANTHROPIC_API_KEY=sk-ant-hunter2-hunter2-hunter2-abcd # from the console
GITHUB_TOKEN=hunter2-of-github-0123456789
DEPLOY_KEY='-----BEGIN PRIVATE KEY-----
hunter2hunter2
-----END PRIVATE KEY-----
'
SLACK_TOKEN=changeme
PIN_CODE=1234
`

// fromPlatform returns a bundle like one from a platform.
func fromPlatform(t testing.TB, values map[string]string) *bundle.Bundle {
	t.Helper()
	var secrets []bundle.Secret
	for name, value := range values {
		secrets = append(secrets, bundle.Secret{Name: name, Value: bundle.NewValue(value), Scope: "acme", Origin: bundle.Origin{Provider: "bootstrap", Location: "https://host"}})
	}
	b, err := bundle.New(secrets, nil)
	require.NoError(t, err)
	return b
}

func actions(p *migrate.Plan) map[string]string {
	got := map[string]string{}
	for _, item := range p.Items {
		got[item.Name] = string(item.Class) + " " + string(item.Action)
	}
	return got
}

func TestPlan_String(t *testing.T) {
	t.Run("shows what Apply will do", func(t *testing.T) {
		path := write(t, ".env", sample)
		p := plan(t, path, &migrate.Options{Bundle: fromPlatform(t, map[string]string{"GITHUB_TOKEN": "hunter2-of-github-0123456789", "PIN_CODE": "4321"})})
		want := `LINE   NAME                  CLASS        ACTION  PREVIEW       WHY
2      SATCHEL_API_URL       runner       keep                  a setting of the runner; it stays here
3      SATCHEL_RUNNER_TOKEN  runner       keep                  a setting of the runner; it stays here
6      PORT                  setting      keep    ****          a number
7      LOG_LEVEL             setting      keep    ****          a typical value of a setting
9      ANTHROPIC_API_KEY     secret       move    sk-a****abcd  has the form of an Anthropic key
10     GITHUB_TOKEN          same         remove  hu****89      the platform has this value
11-14  DEPLOY_KEY            secret       move    ****          has the form of a PEM block
15     SLACK_TOKEN           placeholder  keep    ****          its words are those of a placeholder
16     PIN_CODE              other        keep    ****          the platform has another value; choose to overwrite it, or remove the line
`
		want += path + ": 2 to move, 1 to remove, 6 to keep"
		require.Equal(t, want, p.String())
		require.Contains(t, read(t, "../docs/migrate.md"), strings.ReplaceAll(want, path, ".env"), "the page shows this output")
		require.Contains(t, read(t, "../docs/migrate.md"), strings.ReplaceAll(sample, "hunter2", "0123456"), "and this file")
		require.Empty(t, p.Items[1].Preview, "the runner's own token is not shown, not even masked")
		require.Equal(t, sample, read(t, path), "nothing has changed yet")
		require.False(t, p.Empty())
		require.True(t, p.Compared)
	})

	t.Run("shows no value", func(t *testing.T) {
		path := write(t, ".env", sample)
		file, err := migrate.Read(path)
		require.NoError(t, err)
		p, err := file.Plan(&migrate.Options{Include: []string{"PIN_CODE"}})
		require.NoError(t, err)
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("plan", "plan", p, "file", file)
		encoded, err := json.Marshal(p)
		require.NoError(t, err)
		for _, text := range []string{p.String(), fmt.Sprintf("%v %+v %#v %v %+v %#v", *p, *p, *p, *file, *file, *file), log.String(), string(encoded)} {
			for _, value := range []string{"hunter2", "1234", "notareal", fmt.Sprintf("%v", []byte("hunter2"))} {
				require.NotContains(t, text, strings.Trim(value, "[]"))
			}
		}
		require.Contains(t, string(encoded), `"name":"PIN_CODE","line":16,"end_line":16,"class":"short","action":"move"`)
	})
}

func TestOptions_Bundle(t *testing.T) {
	t.Run("leaves the platform unknown if it is nil", func(t *testing.T) {
		p := plan(t, write(t, ".env", "API_KEY=hunter2-a\n"), nil)
		require.Equal(t, map[string]string{"API_KEY": "secret move"}, actions(p))
		require.False(t, p.Compared)
		require.Contains(t, p.String(), "Not compared with the platform")
	})

	// Otherwise values would be lost: in the runner's merged bundle, the file's own
	// value shadows the platform's.
	t.Run("ignores values from the runner's own providers", func(t *testing.T) {
		path := write(t, ".env", "A_KEY=hunter2-a\nB_KEY=hunter2-b\nC_KEY=hunter2-c\nD_KEY=hunter2-d\n")
		local, err := (&providers.Dotenv{Path: path}).Fetch(t.Context(), nil)
		require.NoError(t, err)
		merged := bundle.Merge(fromPlatform(t, map[string]string{"B_KEY": "hunter2-b", "C_KEY": "another"}), local)
		require.Equal(t, map[string]string{
			"A_KEY": "secret move", "B_KEY": "same remove", "C_KEY": "other keep", "D_KEY": "secret move",
		}, actions(plan(t, path, &migrate.Options{Bundle: merged})))

		// A value that has changed in the file since the bundle was merged is not
		// the one that was compared.
		stale := write(t, ".env", "B_KEY=hunter2-changed\n")
		require.Equal(t, map[string]string{"B_KEY": "other keep"}, actions(plan(t, stale, &migrate.Options{Bundle: merged})))
	})
}

func TestOptions_Include(t *testing.T) {
	path := write(t, ".env", "SATCHEL_X=1\nPORT=8080\nA_KEY=hunter2-a\nB_KEY=hunter2-b\nC_KEY=abc\nD_KEY=hunter2-d\nHTTP_PROXY=http://proxy\n")
	there := fromPlatform(t, map[string]string{"A_KEY": "hunter2-a", "B_KEY": "another"})
	require.Equal(t, map[string]string{
		"SATCHEL_X": "runner keep", "PORT": "setting move", "A_KEY": "same keep", "B_KEY": "other replace", "C_KEY": "short move", "D_KEY": "secret keep", "HTTP_PROXY": "name move",
	}, actions(plan(t, path, &migrate.Options{
		Bundle:  there,
		Include: []string{"PORT", "C_KEY", "SATCHEL_X", "HTTP_PROXY"}, Exclude: []string{"A_KEY", "D_KEY"}, Overwrite: []string{"B_KEY"},
	})), "settings of the runner always stay")
	require.Equal(t, "other keep", actions(plan(t, path, &migrate.Options{Bundle: there, Include: []string{"B_KEY"}}))["B_KEY"], "Include overwrites nothing")

	file, err := migrate.Read(path)
	require.NoError(t, err)
	_, err = file.Plan(&migrate.Options{Include: []string{"PORT", "hunter2"}})
	require.ErrorContains(t, err, "entry 2 of Include is not a name in the file; correct it")
	require.NotContains(t, err.Error(), "hunter2")
	_, err = file.Plan(&migrate.Options{Exclude: []string{""}})
	require.Error(t, err)
	_, err = file.Plan(&migrate.Options{Include: []string{"PORT"}, Exclude: []string{"PORT"}})
	require.ErrorContains(t, err, "PORT is in both Include and Exclude; remove it from one")
}

func TestFile_Plan(t *testing.T) {
	t.Run("keeps both lines if their values differ", func(t *testing.T) {
		p := plan(t, write(t, ".env", "A_KEY=hunter2-a\nB_KEY=hunter2-b\nA_KEY=hunter2-a\nB_KEY=hunter2-x\nPORT=1\nPORT=1\n"), &migrate.Options{Include: []string{"B_KEY"}})
		var got []string
		for _, item := range p.Items {
			got = append(got, fmt.Sprintf("%d %s %s: %s", item.Line, item.Class, item.Action, item.Reason))
		}
		require.Equal(t, []string{
			"1 duplicate move: line 3 has the same name and value",
			"2 duplicate keep: line 4 has the same name and another value; remove the wrong one",
			"3 duplicate move: line 1 has the same name and value",
			"4 duplicate keep: line 2 has the same name and another value; remove the wrong one",
			"5 duplicate keep: line 6 has the same name and value",
			"6 duplicate keep: line 5 has the same name and value",
		}, got, "different values cannot be resolved")
	})

	t.Run("is empty for a file without entries", func(t *testing.T) {
		for _, name := range []string{".env", "config.yaml"} {
			p := plan(t, write(t, name, "# nothing\n"), nil)
			require.True(t, p.Empty())
			require.Contains(t, p.String(), "has no entries")
		}
	})

	t.Run("names a delivery other than env", func(t *testing.T) {
		b, err := bundle.New([]bundle.Secret{{Name: "A_KEY", Value: bundle.NewValue("hunter2-a"), Scope: "acme", Delivery: bundle.DeliverFile}}, nil)
		require.NoError(t, err)
		p := plan(t, write(t, ".env", "A_KEY=hunter2-a\n"), &migrate.Options{Bundle: b})
		require.Equal(t, `the platform has this value, delivered as "file"`, p.Items[0].Reason)
	})
}
