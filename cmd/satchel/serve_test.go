//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/internal/testenv"
)

// server is a running satchel serve.
type server struct {
	out   *safeBuffer
	stop  context.CancelFunc
	ended chan int
}

// serving starts serve and waits until it is online.
func serving(t *testing.T, args ...string) *server {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &server{out: &safeBuffer{grown: make(chan struct{}, 1)}, stop: stop, ended: make(chan int, 1)}
	go func() { s.ended <- run(ctx, append([]string{"serve"}, args...), strings.NewReader(""), s.out, s.out) }()
	t.Cleanup(func() { leaktest.NoCanary(t, s.out.String(), "the output", canaries...) })
	s.out.await(t, "online")
	return s
}

// must waits for the end and requires an exit code.
func (s *server) must(t *testing.T, code int) {
	t.Helper()
	select {
	case got := <-s.ended:
		require.Equal(t, code, got, "exit code; it printed\n%s", s.out)
	case <-time.After(time.Minute):
		require.Fail(t, "serve did not end", "it printed\n%s", s.out)
	}
}

// addJob moves a complete job into the folder.
func addJob(t *testing.T, name string, j task) {
	t.Helper()
	data, err := json.Marshal(map[string]any{"command": j.Command, "secrets": j.Secrets, "env": j.Env, "dir": j.Dir, "on_rotate": j.OnRotate})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("queue/."+name, data, 0o600))
	require.NoError(t, os.Rename("queue/."+name, "queue/"+name+waiting))
}

// jobResult reads the result and the output of a finished job.
func jobResult(t *testing.T, name string) (r result, out string) {
	t.Helper()
	data, err := os.ReadFile("queue/" + name + results)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &r))
	text, err := os.ReadFile("queue/" + name + output)
	require.NoError(t, err)
	_, err = os.Lstat("queue/" + name + finished)
	require.NoError(t, err)
	leaktest.NoCanary(t, string(text)+string(data), "the files", canaries...)
	return r, string(text)
}

// sh is a job of one line of shell in the current folder.
func sh(script string, secrets ...string) task {
	return task{Command: []string{"sh", "-c", script}, Secrets: secrets, Dir: "."}
}

// meet is a script that waits until another job runs too.
func meet(me, other string) string {
	return "touch " + me + "; until [ -e " + other + " ]; do sleep 0.02; done; "
}

// checksum returns the output of cksum for a value.
func checksum(t *testing.T, value string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cksum")
	cmd.Stdin = strings.NewReader(value)
	out, err := cmd.Output()
	require.NoError(t, err)
	return string(out)
}

const printSum = `printf %s "$ANTHROPIC_API_KEY" | cksum`

func TestServe(t *testing.T) {
	t.Run("runs jobs concurrently and delivers rotations", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
		p.setUp(t)
		require.NoError(t, os.Mkdir("queue", 0o700))
		s := serving(t, "--jobs", "queue", "--pool", "2")
		const names = "env | cut -d= -f1 | grep -E 'ANTHROPIC_API_KEY|DEPLOY_TOKEN'; "
		addJob(t, "a", sh(meet("a-there", "b-there")+names+printSum, "ANTHROPIC_API_KEY"))
		addJob(t, "b", sh(meet("b-there", "a-there")+names+`echo "$DEPLOY_TOKEN"`, "DEPLOY_TOKEN"))
		s.out.await(t, "ended a")
		s.out.await(t, "ended b")
		_, a := jobResult(t, "a")
		require.Equal(t, "ANTHROPIC_API_KEY\n"+checksum(t, aiKey), a)
		_, b := jobResult(t, "b")
		require.Equal(t, "DEPLOY_TOKEN\n[DEPLOY_TOKEN]\n", b)

		signaled := sh("trap 'touch told' HUP; touch waits; until [ -e told ]; do sleep 0.02; done; "+printSum, "ANTHROPIC_API_KEY")
		signaled.OnRotate = "HUP"
		addJob(t, "told", signaled)
		awaitFile(t, "waits")
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKeyNext, nil)
		s.out.await(t, "changed: changed ANTHROPIC_API_KEY")
		s.out.await(t, "ended told")
		_, told := jobResult(t, "told")
		told = strings.ReplaceAll(told, "Hangup\n", "") // some shells print this about sleep
		require.Equal(t, checksum(t, aiKey), told, "the environment of a running program does not change")
		addJob(t, "next", sh(printSum, "ANTHROPIC_API_KEY"))
		s.out.await(t, "ended next")
		_, next := jobResult(t, "next")
		require.Equal(t, checksum(t, aiKeyNext), next, "a later job gets the new value")

		s.stop()
		s.must(t, 0)
		left, err := filepath.Glob("queue/*" + taken)
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("takes no jobs unless the runner is ready", func(t *testing.T) {
		p := startPlatform(t, needsKey)
		p.runner(t, p.flagsOf()...).must(t, codeFailed)
		require.NoError(t, os.Mkdir("queue", 0o700))
		addJob(t, "a", sh("touch ran"))
		got := p.runner(t, "serve", "--jobs", "queue").must(t, codeFailed)
		require.Contains(t, got.errOut, "failed   secret ANTHROPIC_API_KEY")
		require.FileExists(t, "queue/a.json")
		require.NoFileExists(t, "ran")
	})

	t.Run("reports why a job cannot run", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		require.NoError(t, os.Mkdir("queue", 0o700))
		for name, src := range map[string]string{
			"broken":  `{"command": [`,
			"misspel": `{"command": ["true"], "secret": ["A"]}`,
			"nothing": `{"secrets": ["A"]}`,
			"two":     `{"command": ["true"]} {"command": ["true"]}`,
			"signal":  `{"command": ["true"], "on_rotate": "LOUDLY"}`,
			"missing": `{"command": ["true"], "secrets": ["MISSING_TOKEN"]}`,
			"unknown": `{"command": ["no-such-program-here"]}`,
			"risky":   `{"command": ["true"], "secrets": ["LD_PRELOAD"]}`,
		} {
			require.NoError(t, os.WriteFile("queue/"+name+waiting, []byte(src), 0o600))
		}
		require.NoError(t, os.Mkdir("queue/folder.json", 0o700))
		require.NoError(t, os.Mkdir("queue/taken.out", 0o700))
		require.NoError(t, os.WriteFile("queue/taken.json", []byte(`{"command": ["touch", "ran"]}`), 0o600))
		s := serving(t, "--jobs", "queue")
		for name, says := range map[string]string{
			"broken": "invalid job", "misspel": "unknown field", "nothing": `write "command"`, "two": "unexpected data",
			"signal": "unknown signal", "missing": "MISSING_TOKEN", "unknown": "no-such-program-here", "folder": "not a regular file",
			"risky": "which can change what programs do; rename them",
		} {
			s.out.await(t, "ended "+name)
			r, _ := jobResult(t, name)
			require.NotZero(t, r.Code)
			require.Contains(t, r.Error, says)
			require.NotContains(t, r.Error, "AllowNames", "the error does not name fields of the library")
		}
		s.out.await(t, "ended taken")
		data, err := os.ReadFile("queue/taken.result")
		require.NoError(t, err)
		require.Contains(t, string(data), "opening the output", "other jobs go on")
		require.NoFileExists(t, "ran")
		s.stop()
		s.must(t, 0)
	})
}

// awaitFile waits for a file that a job makes.
func awaitFile(t *testing.T, path string) {
	t.Helper()
	require.Eventually(t, func() bool { _, err := os.Stat(path); return err == nil }, time.Minute, 5*time.Millisecond, "%s exists", path)
}

// child is the program as a process.
type child struct {
	cmd *exec.Cmd
	out *safeBuffer
}

// startProgram starts the program. Its output goes to out unless change changes that.
func startProgram(t *testing.T, change func(*exec.Cmd), args ...string) child {
	t.Helper()
	executable, err := os.Executable()
	require.NoError(t, err)
	s := child{cmd: exec.CommandContext(t.Context(), executable, args...), out: &safeBuffer{grown: make(chan struct{}, 1)}}
	s.cmd.Env = append(os.Environ(), asMain+"=1")
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if change != nil {
		change(s.cmd)
	}
	require.NoError(t, s.cmd.Start())
	return s
}

// end waits for the end, and returns the exit code, or -1 if a signal ended the program.
func (s child) end() int {
	limit := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() })
	defer limit.Stop()
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode()
}

func pipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = reader.Close(), writer.Close() })
	return reader, writer
}

func TestServe_End(t *testing.T) {
	t.Run("running jobs finish and no more are taken", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		require.NoError(t, os.Mkdir("queue", 0o700))
		s := serving(t, "--jobs", "queue", "--pool", "1")
		addJob(t, "first", sh("touch runs; until [ -e go ]; do sleep 0.02; done; echo finished"))
		awaitFile(t, "runs")
		addJob(t, "second", sh("touch taken"))
		s.stop()
		require.NoError(t, os.WriteFile("go", nil, 0o600))
		s.must(t, 0)
		r, out := jobResult(t, "first")
		require.Zero(t, r.Code)
		require.Equal(t, "finished\n", out)
		require.FileExists(t, "queue/second.json", "other jobs are left for the next runner")
		require.NoFileExists(t, "taken")
	})

	t.Run("jobs are ended after the drain time", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		require.NoError(t, os.Mkdir("queue", 0o700))
		s := serving(t, "--jobs", "queue", "--drain", "1ms")
		addJob(t, "long", sh("touch runs; sleep 600"))
		awaitFile(t, "runs")
		s.stop()
		s.must(t, 0)
		r, _ := jobResult(t, "long")
		require.Equal(t, 128+15, r.Code)
	})

	t.Run("signals end jobs in order", func(t *testing.T) {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
			if sig == syscall.SIGHUP && !slices.Contains(endings, os.Signal(sig)) {
				continue // the tests run under nohup
			}
			p := startPlatform(t)
			p.setUp(t)
			require.NoError(t, os.Mkdir("queue", 0o700))
			addJob(t, "polite", sh("trap 'echo bye; exit 3' TERM; touch runs; while :; do sleep 0.02; done"))
			s := startProgram(t, nil, "serve", "--jobs", "queue", "--drain", "1ms")
			awaitFile(t, "runs")
			require.NoError(t, s.cmd.Process.Signal(sig))
			require.Zero(t, s.end(), "an orderly end is code 0; it printed\n%s", s.out)
			r, printed := jobResult(t, "polite")
			require.Equal(t, 3, r.Code, "after the drain time a job gets SIGTERM and exits itself")
			require.Contains(t, printed, "bye\n")
			require.Contains(t, s.out.String(), "offline: stopped by a signal: "+sig.String())
		}
	})

	t.Run("a hangup under nohup ends nothing", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		require.NoError(t, os.Mkdir("queue", 0o700))
		addJob(t, "first", sh("touch runs; until [ -e go ]; do sleep 0.02; done; exit 4"))
		s := startProgram(t, func(cmd *exec.Cmd) {
			cmd.Args = append([]string{"sh", "-c", `trap '' HUP; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
			cmd.Path = testenv.Program(t, "sh")
		}, "serve", "--jobs", "queue", "--pool", "1")
		awaitFile(t, "runs")
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGHUP))
		require.NoError(t, os.WriteFile("go", nil, 0o600))
		awaitFile(t, "queue/first"+finished)
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGHUP))
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
		require.Zero(t, s.end())
		r, _ := jobResult(t, "first")
		require.Equal(t, 4, r.Code)
		require.Contains(t, s.out.String(), "offline: stopped by a signal: terminated")
	})

	t.Run("a closed output ends the jobs that print there", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		theirs, ours := pipe(t)
		s := startProgram(t, func(cmd *exec.Cmd) {
			cmd.Stdout = ours
			cmd.Stdin = strings.NewReader(`{"dir": ".", "command": ["sh", "-c", "trap 'touch ended; exit 3' TERM; touch runs; while :; do echo x; sleep 0.02; done"]}` + "\n")
		}, "serve", "--stdin", "--drain", "1h")
		require.NoError(t, ours.Close())
		awaitFile(t, "runs")
		require.NoError(t, theirs.Close())
		require.Equal(t, codeFailed, s.end())
		require.Contains(t, s.out.String(), "satchel serve: writing to standard output: write /dev/stdout: broken pipe")
	})

	t.Run("a closed output lets jobs of the folder finish", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		require.NoError(t, os.Mkdir("queue", 0o700))
		addJob(t, "first", sh("touch runs; until [ -e go ]; do sleep 0.02; done; exit 4"))
		addJob(t, "second", sh("touch runs2; until [ -e go ]; do sleep 0.02; done; exit 5"))
		theirs, ours := pipe(t)
		s := startProgram(t, func(cmd *exec.Cmd) { cmd.Stdout = ours }, "serve", "--jobs", "queue", "--pool", "2")
		require.NoError(t, ours.Close())
		awaitFile(t, "runs")
		awaitFile(t, "runs2")
		require.NoError(t, theirs.Close())
		require.NoError(t, os.WriteFile("go", nil, 0o600))
		require.Equal(t, codeFailed, s.end())
		for name, code := range map[string]int{"first": 4, "second": 5} {
			r, _ := jobResult(t, name)
			require.Equal(t, code, r.Code, "the results are stored")
		}
	})

	t.Run("a revoked token ends serve", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
		p.setUp(t)
		require.NoError(t, os.Mkdir("queue", 0o700))
		s := serving(t, "--jobs", "queue")
		require.NoError(t, p.vault.RevokeToken(t.Context(), idOf(t, lineOf(t, tokenName))))
		s.must(t, codeFailed)
		require.Contains(t, s.out.String(), ": the token was revoked; `satchel setup` gives the runner a new token")
		addJob(t, "late", sh("true", "DEPLOY_TOKEN"))
		require.FileExists(t, "queue/late.json", "a runner that cannot run jobs takes none")
	})
}

func TestParseTask(t *testing.T) {
	for src, says := range map[string]string{
		`{"command": "echo hi"}`:             `invalid "command"; want a list of strings such as ["make", "deploy"]`,
		`{"command": ["echo", 1]}`:           `invalid "command"; want a list of strings such as ["make", "deploy"]`,
		`{"name": 7}`:                        `invalid "name"; want a string such as "nightly"`,
		`{"secrets": "A"}`:                   `invalid "secrets"; want a list of names such as ["DEPLOY_TOKEN"]`,
		`{"env": {"A": 1}}`:                  `invalid "env"; want an object of strings such as {"STAGE": "test"}`,
		`{"env": ["A=1"]}`:                   `invalid "env"; want an object of strings such as {"STAGE": "test"}`,
		`{"dir": []}`:                        `invalid "dir"; want a string such as "/srv/app"`,
		`{"on_rotate": 1}`:                   `invalid "on_rotate"; want a string: "leave", "restart" or the name of a signal`,
		`{"comand": ["true"]}`:               `unknown field "comand" (did you mean command?)`,
		`{"Command": ["true"], "comand": 1}`: `unknown field "comand"`,
		`["true"]`:                           "it is of type array; want an object",
		``:                                   "it is empty; want an object",
		`{"command": ["true"]`:               "unexpected end of the JSON",
		`no job`:                             "invalid JSON at byte 2: invalid character 'o'",
		`{"command": ["true"]} {}`:           "unexpected data after the object",
	} {
		_, err := parseTask([]byte(src))
		require.ErrorContains(t, err, "invalid job: "+says)
		require.ErrorContains(t, err, "; `satchel serve --help` has an example")
		for _, internal := range []string{"json:", "Go ", "EOF", "[]string", "task"} {
			require.NotContains(t, err.Error(), internal, "the error does not mention Go")
		}
	}
	require.Len(t, wantedOf, reflect.TypeFor[task]().NumField(), "each field has a description")
}

func TestFolder(t *testing.T) {
	t.Run("a job is not done until its result is stored", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		require.NoError(t, os.MkdirAll("queue/a.result", 0o700))
		s := serving(t, "--jobs", "queue")
		addJob(t, "a", sh("true"))
		s.must(t, codeFailed)
		require.Contains(t, s.out.String(), "storing the result of job a")
		left, err := filepath.Glob("queue/.*")
		require.NoError(t, err)
		require.Empty(t, left)
		require.FileExists(t, "queue/a.running", "a job without a result is not done")
	})

	t.Run("runners share it and run each job once", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		require.NoError(t, os.Mkdir("queue", 0o700))
		first := serving(t, "--jobs", "queue", "--pool", "2")
		second := serving(t, "--jobs", "queue", "--pool", "2")
		var want []string
		for i := range 20 {
			name := fmt.Sprintf("job-%02d", i)
			want = append(want, name)
			addJob(t, name, sh("echo "+name+" >> ran"))
		}
		for _, name := range want {
			awaitFile(t, "queue/"+name+finished)
		}
		first.stop()
		second.stop()
		first.must(t, 0)
		second.must(t, 0)
		ran, err := os.ReadFile("ran")
		require.NoError(t, err)
		got := strings.Fields(string(ran))
		slices.Sort(got)
		require.Equal(t, want, got)
	})
}

func TestInput(t *testing.T) {
	p := startPlatform(t)
	p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
	p.setUp(t)
	jobs := `{"name": "hello", "command": ["sh", "-c", "echo $GREETING $DEPLOY_TOKEN; printf more"], "secrets": ["DEPLOY_TOKEN"], "env": {"GREETING": "hi"}}

{"command": ["sh", "-c", "exit 9"]}
no job
`
	got := runCommand(t, t.Context(), jobs, "serve", "--stdin", "--pool", "1").must(t, 0)
	require.Contains(t, got.out, "started hello: sh with DEPLOY_TOKEN\n[hello] hi [DEPLOY_TOKEN]\n[hello] more\n")
	require.Regexp(t, `ended job-1: code 9 after [0-9.]+s\n`, got.out)
	require.Contains(t, got.out, "invalid job")
	require.True(t, strings.HasSuffix(got.out, "offline: no more jobs\n"))

	long := runCommand(t, t.Context(), jobs+strings.Repeat("x", maxTask+1)+"\n", "serve", "--stdin", "--pool", "1").must(t, codeFailed)
	require.Contains(t, long.errOut, "reading jobs: a line is longer than 1048576 bytes", "skipped jobs are reported")
	require.Contains(t, long.out, "ended job-1", "the jobs before it run")
	forged := runCommand(t, t.Context(), `{"name": "a\nended b: code 0", "command": ["true"]}`, "serve", "--stdin").must(t, 0)
	require.NotContains(t, forged.out, "\nended b", "a name cannot forge events")

	var events []string
	for line := range strings.Lines(runCommand(t, t.Context(), jobs, "serve", "--stdin", "--json", "--pool", "1").must(t, 0).out) {
		var e event
		require.NoError(t, json.Unmarshal([]byte(line), &e), "each line is JSON: %s", line)
		events = append(events, e.Event)
	}
	require.Equal(t, []string{"online", "started", "output", "output", "ended", "started", "ended", "ended", "offline"}, events)
}

func TestServe_Folder(t *testing.T) {
	t.Run("is empty, and removed when the job has ended", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t, "--dir", ".")
		appendTo(t, ".env", "LOCAL_KEY="+localKey+"\n")
		t.Setenv("TMPDIR", t.TempDir())
		jobs := `{"name": "one", "command": ["sh", "-c", "ls -a | wc -l; cat .env; pwd; echo x >left; mkdir -p a/b; chmod 0500 a"]}
{"name": "two", "command": ["sh", "-c", "ls left; pwd"]}
{"name": "there", "command": ["sh", "-c", "pwd; ls runner.yaml"], "dir": "."}
{"name": "relative", "command": ["./tool"]}
`
		got := runCommand(t, t.Context(), jobs, "serve", "--dir", ".", "--stdin", "--pool", "1").must(t, 0)
		require.Regexp(t, `\[one\] +2\n`, got.out, "only . and ..")
		require.NotContains(t, got.out, tokenName)
		require.NotContains(t, got.out, "[two] left")
		require.Contains(t, got.out, "[there] runner.yaml", "the entry may name a folder")
		require.Equal(t, 1, strings.Count(got.errOut, ".env has a runner token, which the job can read"), "of which serve warns:\n%s", got.errOut)
		require.Contains(t, got.out, "ended relative: code 127")
		folders := regexp.MustCompile(`\[(?:one|two)\] (/\S+)\n`).FindAllStringSubmatch(got.out, -1)
		require.Len(t, folders, 2)
		require.NotEqual(t, folders[0][1], folders[1][1])
		left, err := os.ReadDir(os.Getenv("TMPDIR"))
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("is kept by a restart", func(t *testing.T) {
		p := startPlatform(t)
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKey, nil)
		p.setUp(t)
		require.NoError(t, os.Mkdir("queue", 0o700))
		s := serving(t, "--jobs", "queue")
		there, err := os.Getwd()
		require.NoError(t, err)
		restarted := sh("if [ -e first ]; then echo again; exit; fi; touch first "+there+"/runs; exec sleep 600", "ANTHROPIC_API_KEY")
		restarted.Dir, restarted.OnRotate = "", "restart"
		addJob(t, "a", restarted)
		awaitFile(t, "runs")
		p.put(t, "acme", "ANTHROPIC_API_KEY", aiKeyNext, nil)
		s.out.await(t, "ended a: code 0")
		_, out := jobResult(t, "a")
		require.Equal(t, "again\n", out)
		s.stop()
		s.must(t, 0)
	})
}
