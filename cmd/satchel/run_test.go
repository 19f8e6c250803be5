//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/vault"
)

func TestRun(t *testing.T) {
	t.Run("passes only the named secrets", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		p.setUp(t)
		got := p.runner(t, "run", "--secret", "DEPLOY_TOKEN", "--", "sh", "-c", `echo "token $DEPLOY_TOKEN"; env | cut -d= -f1 | sort`).must(t, 0)
		require.Contains(t, got.out, "token [DEPLOY_TOKEN]\n", "secrets are masked in the output")
		names := strings.Fields(got.out)
		require.Contains(t, names, "DEPLOY_TOKEN")
		require.NotContains(t, names, "ANTHROPIC_API_KEY", "other secrets do not reach the job")
		require.NotContains(t, names, adminTokenName, "the administrator's token does not reach the job")
	})

	t.Run("masks the runner's own files", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
		p.setUp(t)
		appendTo(t, runnerEnv(t), "LOCAL_KEY="+localKey+"\n")
		require.NoError(t, os.WriteFile(runnerHome(t).yaml(), []byte("YAML_KEY: "+aiKey+"\n"), 0o600))
		token := lineOf(t, tokenName)
		dir := string(runnerHome(t))
		got := p.runner(t, "run", "--", "sh", "-c", `cat "$0"/.env "$0"/secrets.yaml`, dir).must(t, 0) // with none of its secrets
		require.Contains(t, got.out, tokenName+"=[")
		require.NotContains(t, got.out, token)
		require.NotContains(t, got.out, token[4:40])
		require.Contains(t, got.out, "LOCAL_KEY=[LOCAL_KEY]")
		require.Contains(t, got.out, "YAML_KEY: [YAML_KEY]")

		require.NoError(t, os.Mkdir("queue", 0o700))
		s := serving(t, "--jobs", "queue")
		addJob(t, "a", sh("cat "+dir+"/.env"))
		s.out.await(t, "ended a: code 0")
		_, out := jobResult(t, "a")
		require.NotContains(t, out, token)
		require.Contains(t, out, "LOCAL_KEY=[LOCAL_KEY]")
		s.stop()
		s.must(t, 0)
	})

	t.Run("exits with the code of the job", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		for code, args := range map[int][]string{
			0:          {"run", "--", "true"},
			42:         {"run", "--", "sh", "-c", "exit 42"},
			128 + 15:   {"run", "--", "sh", "-c", "kill -TERM $$"},
			127:        {"run", "--", "no-such-program-here"},
			codeNoJob:  {"run", "--secret", "MISSING_TOKEN", "--", "true"},
			codeUsage:  {"run", "--secret"},
			128 + 9:    {"run", "--", "sh", "-c", "kill -KILL $$"},
			126:        {"run", "--", os.TempDir()},
			codeFailed: {"run", "--", "false"},
		} {
			p.runner(t, args...).must(t, code)
		}
	})

	t.Run("kills a job immediately without grace", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan int, 1)
		go func() {
			ended <- run(ctx, []string{"run", "--grace", "0", "--", "sh", "-c", "trap 'sleep 5; exit 5' TERM; touch runs; while :; do sleep 0.02; done"}, strings.NewReader(""), io.Discard, io.Discard)
		}()
		awaitFile(t, "runs")
		stop()
		require.Equal(t, 128+9, <-ended, "with the default of 10s, the job would have exited with 5")
	})

	t.Run("names missing secrets before the job starts", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		got := p.runner(t, "run", "--secret", "A_TOKEN", "--secret", "B_TOKEN", "--", "touch", "started").must(t, codeNoJob)
		require.Contains(t, got.errOut, "A_TOKEN")
		require.Contains(t, got.errOut, "B_TOKEN", "all missing secrets are named")
		require.NoFileExists(t, "started")
	})

	t.Run("requires --allow for a risky name", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "HTTPS_PROXY", deployKey, nil)
		p.setUp(t)
		args := []string{"run", "--secret", "HTTPS_PROXY"}
		got := p.runner(t, append(args, "--", "true")...).must(t, codeNoJob)
		require.Contains(t, got.errOut, "allow them with --allow", "the error names a flag")
		p.runner(t, append(args, "--allow", "HTTPS_PROXY", "--", "true")...).must(t, 0)
		t.Setenv(tokenName, lineOf(t, tokenName))
		got = p.runner(t, "run", "--pass", tokenName, "--", "true").must(t, codeNoJob)
		require.Contains(t, got.errOut, "remove it from --pass", "the runner's own token does not reach a job")
	})

	t.Run("delivers platform and local secrets as files", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
		p.setUp(t)
		appendTo(t, runnerEnv(t), "LOCAL_KEY="+localKey+"\n")
		got := p.runner(t, "run", "--file", "DEPLOY_TOKEN", "--file", "LOCAL_KEY", "--", "sh", "-c",
			`test -z "$DEPLOY_TOKEN$LOCAL_KEY" && cat "$DEPLOY_TOKEN_FILE" "$LOCAL_KEY_FILE"; echo; echo "$LOCAL_KEY_FILE"`).must(t, 0)
		require.Contains(t, got.out, "[DEPLOY_TOKEN][LOCAL_KEY]")
		path := strings.TrimSpace(got.out[strings.LastIndex(strings.TrimSpace(got.out), "\n"):])
		require.NoFileExists(t, path, "the files are removed with the job")
	})

	t.Run("passes variables with --pass", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		t.Setenv("BUILD_NUMBER", "17")
		t.Setenv("NOT_PASSED", "18")
		got := p.runner(t, "run", "--pass", "BUILD_NUMBER", "--", "sh", "-c", `echo "$BUILD_NUMBER/$NOT_PASSED"`).must(t, 0)
		require.Equal(t, "17/\n", got.out)
		got = p.runner(t, "run", "--pass", "BIULD_NUMBER", "--", "true").must(t, 0)
		require.Contains(t, got.errOut, "BIULD_NUMBER is not set and is not passed", "a misspelled name is reported")
		got = p.runner(t, "run", "--pass", adminTokenName, "--", "true").must(t, codeUsage)
		require.Contains(t, got.errOut, "an administrator's token must not reach a job")
	})

	t.Run("leaves out the key of a local backend", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		p.setUp(t, "--backend", "local")
		got := p.runner(t, "run", "--secret", "ANTHROPIC_API_KEY", "--", "sh", "-c", `echo "[$ANTHROPIC_API_KEY]"`).must(t, 0)
		require.Equal(t, "[]\n", got.out)
		require.Contains(t, got.errOut, "ANTHROPIC_API_KEY is left out because the backend is local")
	})

	t.Run("reports a shadowed secret", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
		p.setUp(t)
		appendTo(t, runnerEnv(t), "DEPLOY_TOKEN="+localKey+"\n")
		env := runnerEnv(t)
		says := "DEPLOY_TOKEN: dotenv " + env + ":3 shadows another value of bootstrap "
		errOut := p.runner(t, "run", "--secret", "DEPLOY_TOKEN", "--", "true").must(t, 0).errOut
		require.Contains(t, errOut, says)
		require.Contains(t, errOut, "to use that one, remove line 3 of "+env+", or replace it with yours: `satchel migrate --overwrite DEPLOY_TOKEN "+env+"`", "the note names both fixes")
		require.Contains(t, p.runner(t, "serve", "--stdin").must(t, 0).errOut, says)
		require.NotContains(t, p.runner(t, "run", "--", "true").must(t, 0).errOut, says, "secrets that the job does not get are not reported")
	})

	t.Run("answers git inside the job", func(t *testing.T) {
		if _, err := exec.LookPath("git"); err != nil {
			testenv.Lacks(t, "this machine lacks git: %v", err)
		}
		p := startPlatform(t)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
		p.setUp(t)
		t.Setenv(asMain, "1") // git starts this executable
		got := p.runner(t, "run", "--git", "bot:DEPLOY_TOKEN=https://git.example.com", "--pass", asMain, "--", "sh", "-c",
			`printf 'protocol=https\nhost=git.example.com\n\n' | git credential fill; env | grep -c DEPLOY_TOKEN=`)
		require.Contains(t, got.out, "username=bot\npassword=[DEPLOY_TOKEN]\n", "git gets the secret; it printed\n%s", got.errOut)
		require.Contains(t, got.out, "\n0\n", "the job's environment does not have it")
	})

	t.Run("forwards signals to the job", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		executable, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), executable, "run", "--", "sh", "-c", "trap 'exit 5' TERM; touch runs; while :; do sleep 0.02; done")
		cmd.Env = append(os.Environ(), asMain+"=1")
		require.NoError(t, cmd.Start())
		awaitFile(t, "runs")
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		failed, ok := errors.AsType[*exec.ExitError](cmd.Wait())
		require.True(t, ok)
		require.Equal(t, 5, failed.ExitCode(), "the job got the signal, and its code is the runner's")
	})
}

func TestRun_ClosedOutput(t *testing.T) {
	for _, row := range []struct {
		what, pipeline, script string
		code                   int
	}{
		{"standard output", `{ "$0" "$@"; echo $? >code; } | head -n 1`, "while :; do echo x; sleep 0.01; done", 141},
		{"both outputs", `{ "$0" "$@"; echo $? >code; } 2>&1 | head -n 1`, "trap '' PIPE; while echo x; do sleep 0.01; done; exit 5", 5},
		{"standard error", `{ "$0" "$@" 2>&1 >/dev/null; echo $? >code; } | head -n 1`, "echo $KEY_FILE >&2; trap '' PIPE; while echo x >&2; do sleep 0.01; done; exit 6", 6},
	} {
		p := startPlatform(t)
		p.put(t, "acme", "KEY", deployKey, nil)
		p.setUp(t)
		script := `sh -c 'trap "" HUP INT TERM; echo $$ >child; while :; do sleep 0.05; done' & until [ -s child ]; do sleep 0.01; done; echo $KEY_FILE; ` + row.script
		s := startProgram(t, func(cmd *exec.Cmd) {
			cmd.Args = append([]string{"sh", "-c", row.pipeline, cmd.Path}, cmd.Args[1:]...)
			cmd.Path = testenv.Program(t, "sh")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // without a terminal, so that the job has a group
		}, "run", "--secret", "KEY", "--file", "KEY", "--grace", "100ms", "--", "sh", "-c", script)
		require.Zero(t, s.end(), "%s", s.out)
		code, err := os.ReadFile("code")
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(row.code), strings.TrimSpace(string(code)), "%s: the code is that of the job", row.what)
		path, _, _ := strings.Cut(s.out.String(), "\n")
		require.Equal(t, "KEY", filepath.Base(path), row.what)
		require.NoDirExists(t, filepath.Dir(path), "%s: the job's files are removed", row.what)
		child, err := os.ReadFile("child")
		require.NoError(t, err)
		pid, err := strconv.Atoi(strings.TrimSpace(string(child)))
		require.NoError(t, err)
		leaktest.Eventually(t, row.what+": the job's children are gone", func() bool { return syscall.Kill(pid, 0) != nil })
	}
}

func TestOnSignal(t *testing.T) {
	startPlatform(t)
	for _, name := range []string{"KILL", "sigkill", "STOP"} {
		got := runCommand(t, t.Context(), "", "run", "--signal", name, "--", "true").must(t, codeUsage)
		require.Contains(t, got.errOut, "cannot be handled by a program")
		_, err := parseTask([]byte(`{"command": ["true"], "on_rotate": "` + name + `"}`))
		require.ErrorContains(t, err, "cannot be handled by a program", "the same holds for jobs of serve")
	}
}

// standIn makes a docker command that records its arguments and environment, and
// returns functions that read them.
func standIn(t *testing.T) (docker string, argv, environ func() []string) {
	t.Helper()
	dir := t.TempDir()
	docker = filepath.Join(dir, "docker")
	script := "#!/bin/sh\nfor a; do printf '%s\\n' \"$a\"; done > " + dir + "/argv\nenv > " + dir + "/environ\necho \"in $DEPLOY_TOKEN\"\nexit 7\n"
	require.NoError(t, os.WriteFile(docker, []byte(script), 0o755))
	read := func(name string) func() []string {
		return func() []string {
			text, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		}
	}
	return docker, read("argv"), read("environ")
}

func TestInContainer(t *testing.T) {
	t.Run("gives docker names and keeps values out of its arguments", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		p.setUp(t)
		docker, argv, environ := standIn(t)
		t.Setenv("DOCKER_HOST", "unix:///run/elsewhere.sock")
		got := p.runner(t, "run", "--docker", docker, "--container", "node:24", "--secret", "DEPLOY_TOKEN", "--docker-arg", "--network=none", "--", "npm", "publish", "--tag=next").must(t, 7)
		require.Equal(t, "in [DEPLOY_TOKEN]\n", got.out, "the output of a container is masked too")
		require.Equal(t, []string{"run", "--rm", "-i", "-e", "DEPLOY_TOKEN", "--network=none", "node:24", "npm", "publish", "--tag=next"}, argv())
		require.Contains(t, environ(), "DEPLOY_TOKEN="+deployKey, "docker takes the value from its own environment")
		require.Contains(t, environ(), "DOCKER_HOST=unix:///run/elsewhere.sock", "docker finds its daemon")
		for _, line := range append(argv(), slices.DeleteFunc(environ(), func(line string) bool { return strings.HasPrefix(line, "DEPLOY_TOKEN=") })...) {
			leaktest.NoCanary(t, line, "the output", canaries...)
		}

		t.Setenv("BUILD_NUMBER", "17")
		p.runner(t, "run", "--docker", docker, "--container", "node:24", "--pass", "BUILD_NUMBER").must(t, 7)
		require.Equal(t, []string{"run", "--rm", "-i", "-e", "BUILD_NUMBER", "node:24"}, argv(), "passed variables reach the container, not only docker")
		require.Contains(t, environ(), "BUILD_NUMBER=17")

		t.Setenv("DOCKER", docker)
		p.runner(t, "run", "--container", "node:24").must(t, 7)
		require.Equal(t, []string{"run", "--rm", "-i", "node:24"}, argv(), "the image's own command runs")
	})

	t.Run("refuses options that cannot work in a container", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "TLS_KEY", deployKey, &vault.PutOptions{Delivery: bundle.DeliverFile})
		p.put(t, "acme", "DOCKER_HOST", aiKey, nil)
		p.setUp(t)
		docker, _, _ := standIn(t)
		for says, c := range map[string]struct {
			code int
			args []string
		}{
			"cannot reach the socket": {codeUsage, []string{"--container", "node:24", "--git", "TLS_KEY=https://github.com"}},
			"cannot start with -":     {codeUsage, []string{"--container", "--privileged"}},
			"give --container too":    {codeUsage, []string{"--", "touch", "outside"}},
			"delivered as a file":     {codeNoJob, []string{"--container", "node:24", "--secret", "TLS_KEY"}},
			"docker itself":           {codeNoJob, []string{"--container", "node:24", "--secret", "DOCKER_HOST", "--allow", "DOCKER_HOST"}},
		} {
			got := p.runner(t, append([]string{"run", "--docker", docker}, c.args...)...).must(t, c.code)
			require.Contains(t, got.errOut, says)
			require.NoFileExists(t, "outside", "the command does not run outside a container")
			require.NoFileExists(t, filepath.Join(filepath.Dir(docker), "argv"), "docker was not started")
		}
	})
}
