package main

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/leaktest"
)

var update = flag.Bool("update", false, "rewrite the sessions of docs/runner.md")

// recorded matches a session on the page.
var recorded = regexp.MustCompile("(?s)<!-- session (\\S+) -->\n```text\n(.*?)```\n")

// host replaces the platform's address, and has the same length so that columns stay
// aligned.
const host = "satchel.example"

// The user's configuration folder, and its replacement of the same length. This path is
// in the current folder of the process, and has the same length on every machine.
const (
	config     = "/proc/self/cwd/us"
	configShow = "/home/ada/.config"
)

// normal replaces everything that differs between runs.
func normal(t *testing.T, p *platform, screen string) string {
	local := strings.TrimPrefix(p.url, "https://")
	require.Len(t, local, len(host), "the platform's port has five digits")
	screen = strings.ReplaceAll(screen, local, host)
	screen = strings.ReplaceAll(screen, config, configShow)
	for _, r := range []struct{ pattern, with string }{
		{`\btoken [0-9A-Za-z]{12}\b`, "token 4hT9wQ2mZx7K"},
		{`\bid [0-9A-Za-z]{12}\b`, "id 4hT9wQ2mZx7K"},
		{`\b2[0-9]{3}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} UTC`, "2026-11-23 09:30:00 UTC"},
		{`\.bak-[0-9]{8}T[0-9]{6}Z`, ".bak-20261123T093000Z"},
		{`after [0-9]+\.[0-9]s`, "after 0.1s"},
		{`(?m) +$`, ""},
	} {
		screen = regexp.MustCompile(r.pattern).ReplaceAllString(screen, r.with)
	}
	return screen
}

const jobs = `{"name": "deploy", "command": ["sh", "-c", "echo deploying with $DEPLOY_TOKEN"], "secrets": ["DEPLOY_TOKEN"]}
{"name": "lint", "command": ["sh", "-c", "echo no token here: $DEPLOY_TOKEN; exit 1"]}
`

// serveAll runs satchel serve on the jobs.
func serveAll(t *testing.T, env []string) string {
	t.Helper()
	executable, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), executable, "serve", "--stdin", "--pool", "1")
	cmd.Env = append(append(os.Environ(), asMain+"=1"), env...)
	cmd.Stdin = strings.NewReader(jobs)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	leaktest.NoCanary(t, string(out), "the output", canaries...)
	return string(out)
}

// TestPage runs the sessions of the page at a terminal, one after another.
func TestPage(t *testing.T) {
	const path = "docs/runner.md"
	t.Chdir("../..")
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	there, err := os.Getwd()
	require.NoError(t, err)

	p := startPlatform(t, needsKey)
	p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
	setConfigFolder(t, config)
	require.NoError(t, os.WriteFile(".env", []byte("LOG_LEVEL=debug\nWEBHOOK_SECRET="+localKey+"\n"), 0o600))
	env := []string{"SSL_CERT_FILE=" + p.ca, "NO_COLOR=1"}
	sessions := map[string]string{}
	record := func(name string, wantCode int, drive func(*session), args ...string) {
		s := startSession(t, env, args...)
		if drive != nil {
			drive(s)
		}
		code, screen := s.end(t)
		require.Equal(t, wantCode, code, screen)
		leaktest.NoCanary(t, screen, "the screen", canaries...)
		line := "$ satchel"
		for _, arg := range args {
			if strings.ContainsAny(arg, " $") {
				arg = "'" + arg + "'"
			}
			line += " " + arg
		}
		sessions[name] += line + "\n" + normal(t, p, screen)
	}

	t.Setenv(adminTokenName, "")
	record("setup", codeFailed, func(s *session) {
		s.answer(t, "URL of the platform", p.url)
		s.answer(t, "Scope of the runner", "acme/web")
		s.answer(t, "(hidden)", adminToken)
		s.answer(t, "Backend", "")
		s.answer(t, "Concurrent jobs", "4")
		s.answer(t, "Connect (yes or no)", "yes")
	}, "setup")
	p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
	record("check", 0, nil, "check")
	record("run", 3, nil, "run", "--secret", "DEPLOY_TOKEN", "--", "sh", "-c", `echo "deploying with $DEPLOY_TOKEN"; exit 3`)
	record("migrate", 0, func(s *session) {
		s.answer(t, "(yes or no)", "yes")
		s.answer(t, "(hidden)", adminToken)
	}, "migrate", ".env")
	record("explain", 0, nil, "explain", "WEBHOOK_SECRET")
	record("explain", 0, nil, "explain")
	require.NoError(t, os.WriteFile("jobs.jsonl", []byte(jobs), 0o600))
	sessions["serve"] = "$ cat jobs.jsonl\n" + jobs + "$ satchel serve --stdin --pool 1 < jobs.jsonl\n" + normal(t, p, serveAll(t, env))
	record("help", 0, nil, "help")
	record("help", 0, nil, "run", "--help")

	var shown []string
	after := recorded.ReplaceAllStringFunc(string(page), func(block string) string {
		name, text := recorded.FindStringSubmatch(block)[1], recorded.FindStringSubmatch(block)[2]
		shown = append(shown, name)
		if !*update {
			require.Equal(t, sessions[name], text, "the page differs from the program's output; go test ./cmd/satchel -run TestPage -update rewrites it")
		}
		return "<!-- session " + name + " -->\n```text\n" + sessions[name] + "```\n"
	})
	require.ElementsMatch(t, slices.Collect(maps.Keys(sessions)), shown, "the page has each session once")
	if *update {
		require.NoError(t, os.WriteFile(there+"/"+path, []byte(after), 0o644))
	}
}
