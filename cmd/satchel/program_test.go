package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHelp(t *testing.T) {
	overview := runCommand(t, t.Context(), "", "help").must(t, 0).out
	require.Equal(t, overview, runCommand(t, t.Context(), "").must(t, 0).out, "no command means help")
	require.Equal(t, overview, runCommand(t, t.Context(), "", "--help").must(t, 0).out)
	for _, c := range commands() {
		if c.hidden {
			require.NotContains(t, overview, c.name, "hidden commands are not listed")
			continue
		}
		require.Contains(t, overview, "  "+c.name)
		help := runCommand(t, t.Context(), "", c.name, "--help").must(t, 0).out
		require.Equal(t, help, runCommand(t, t.Context(), "", "help", c.name).must(t, 0).out)
		require.Contains(t, help, "Usage:\n  satchel "+c.name)
		require.Contains(t, help, "Exit codes:\n")
		_, examples, ok := strings.Cut(help, "Examples:\n")
		require.True(t, ok)
		require.Contains(t, examples, "satchel "+c.name)
		for line := range strings.Lines(help) {
			require.LessOrEqual(t, len(line), 160, "a line of the help of %s fits a wide terminal", c.name)
		}
	}
}

func TestUsageError(t *testing.T) {
	t.Run("names the nearest valid command or flag", func(t *testing.T) {
		for says, args := range map[string][]string{
			"did you mean check?":             {"chekc"},
			"`satchel help` lists all":        {"frobnicate"},
			"did you mean --secret?":          {"run", "--secrt", "A", "--", "true"},
			"did you mean --json?":            {"explain", "A", "--jsn"},
			"see `satchel check --help`":      {"check", "--frobnicate"},
			"takes no arguments":              {"check", "extra"},
			"explain takes at most one name":  {"explain", "A", "B"},
			"missing command":                 {"run", "--secret", "A"},
			"exclude each other":              {"run", "--restart", "--signal", "HUP", "--", "true"},
			`unknown signal "LOUDLY"`:         {"run", "--signal", "LOUDLY", "--", "true"},
			"want SECRET=URL":                 {"run", "--git", "GITHUB_TOKEN", "--", "true"},
			"give either --jobs FOLDER or":    {"serve"},
			"invalid value \"many\" for flag": {"serve", "--stdin", "--pool", "many"},
			"--pool: want 1 to":               {"serve", "--stdin", "--pool", "5000"},
			"--pool: want 1 to 1000":          {"serve", "--stdin", "--pool", "0"},
			"name one file, such as .env":     {"migrate"},
		} {
			got := runCommand(t, t.Context(), "", args...).must(t, codeUsage)
			require.Contains(t, got.errOut, says)
			require.Empty(t, got.out, "errors go to standard error only")
		}
	})

	t.Run("comes before anything starts", func(t *testing.T) {
		startPlatform(t) // without setup: reading its files would be another error
		for says, args := range map[string][]string{
			`invalid value "-1s" for flag --grace: want a time of 0 or more`: {"run", "--grace", "-1s", "--", "true"},
			`invalid value "-1s" for flag --timeout: want a time`:            {"run", "--timeout", "-1s", "--", "true"},
			`invalid value "10" for flag --timeout: want a time`:             {"explain", "--timeout", "10"},
			`invalid value "-2m" for flag --drain: want a time`:              {"serve", "--stdin", "--drain", "-2m"},
			"missing value of --secret;":                                     {"run", "--secret"},
			`invalid value "many" for flag --pool: want a whole number`:      {"serve", "--stdin", "--pool", "many"},
			`invalid value "x" for flag --json: want true or false`:          {"check", "--json=x"},
			`--secret: the name "A B" has`:                                   {"run", "--secret", "A B", "--", "true"},
			`--file: the name "A-B" has`:                                     {"run", "--file", "A-B", "--", "true"},
			`--allow: the name "1A" has`:                                     {"run", "--allow", "1A", "--", "true"},
			`--require: the name "A B" has`:                                  {"check", "--require", "A B"},
			`--git: http would send the secret to "example.com"`:             {"run", "--git", "GITHUB_TOKEN=http://example.com", "--", "true"},
			"and use USER:SECRET=URL":                                        {"run", "--git", "GITHUB_TOKEN=https://bot@example.com", "--", "true"},
			"--git: the name of the secret":                                  {"run", "--git", "A B=https://example.com", "--", "true"},
			`--signal: unknown signal "restart"`:                             {"run", "--signal", "restart", "--", "true"},
			`--signal: unknown signal "leave"`:                               {"run", "--signal", "leave", "--", "true"},
			`--signal: unknown signal ""`:                                    {"run", "--signal", "", "--", "true"},
		} {
			got := runCommand(t, t.Context(), "", args...).must(t, codeUsage)
			require.Contains(t, got.errOut, says)
			require.Contains(t, got.errOut, "; see `satchel "+args[0]+" --help`")
		}
		for _, command := range []string{"run", "explain"} {
			require.Contains(t, runCommand(t, t.Context(), "", command, "--help").must(t, 0).out, "with 0, no limit (default 1m0s)", "the help explains the value 0")
		}
	})
}

func TestVersion(t *testing.T) {
	require.True(t, strings.HasPrefix(runCommand(t, t.Context(), "", "version").must(t, 0).out, "satchel "))
	require.Equal(t, runCommand(t, t.Context(), "", "version").out, runCommand(t, t.Context(), "", "--version").out)
	var got map[string]string
	require.NoError(t, json.Unmarshal([]byte(runCommand(t, t.Context(), "", "version", "--json").must(t, 0).out), &got))
	require.NotEmpty(t, got["version"])
}

func TestProgram_Paint(t *testing.T) {
	p := startPlatform(t)
	p.setUp(t)
	for _, args := range [][]string{{"help"}, {"check"}, {"check", "--require", "A"}, {"explain"}, {"nonsense"}} {
		got := p.runner(t, args...)
		require.NotContains(t, got.out+got.errOut, "\x1b", "satchel %s", strings.Join(args, " "))
	}
}

func TestHome_ReadSettings(t *testing.T) {
	p := startPlatform(t)
	p.setUp(t)
	for says, text := range map[string]string{
		"runner.yaml":            "pool: [",
		"invalid pool size 0":    "backend: platform\npool: 0\n",
		`invalid backend "ours"`: "backend: ours\npool: 1\n",
		"line 1: field bakend is unknown; fix the file": "bakend: local\n",
	} {
		overwriteFile(t, runnerHome(t).settings(), text)
		require.Contains(t, p.runner(t, "check").must(t, codeFailed).errOut, says)
	}
}

func TestCommand_doc(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	for _, c := range commands() {
		if !c.hidden {
			require.Regexp(t, `\n//\tsatchel `+c.name+` +`+c.summary+`\n`, string(source), "the package comment lists each command")
		}
	}
}
