//go:build unix

package job_test

import (
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/job"
)

// isAlive reports whether a process is running. A zombie is not.
func isAlive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func TestJob_Output(t *testing.T) {
	t.Run("masks secrets in stdout and stderr", func(t *testing.T) {
		c, _ := jobClient(t, secret("DEPLOY_TOKEN", "hunter22hunter"))
		var stdout, stderr transcript
		j := job.Job{Client: c, Path: "sh", Args: []string{"-c", `
		echo "out $DEPLOY_TOKEN"; echo "err $DEPLOY_TOKEN" >&2
		printf 'split hunter22'; printf 'hunter\n'
		printf 'user:%s' "$DEPLOY_TOKEN" | base64`},
			Secrets: []string{"DEPLOY_TOKEN"}, Stdout: &stdout, Stderr: &stderr}
		code, err := j.Run(t.Context())
		require.NoError(t, err)
		require.Zero(t, code)
		require.NotContains(t, stdout.String(), base64.StdEncoding.EncodeToString([]byte("user:hunter22hunter")))
		require.True(t, strings.HasPrefix(stdout.String(), "out [DEPLOY_TOKEN]\nsplit [DEPLOY_TOKEN]\n"), "got %q", stdout.String())
		require.Equal(t, "err [DEPLOY_TOKEN]\n", stderr.String())
	})

	t.Run("uses the marker of Redact", func(t *testing.T) {
		c, _ := jobClient(t, secret("DEPLOY_TOKEN", "hunter22hunter"))
		j := shell(c, `echo "$DEPLOY_TOKEN"`, nil, "DEPLOY_TOKEN")
		j.Redact = redact.Options{Marker: "***"}
		_, out := runs(t, j)
		require.Equal(t, "***\n", out)
	})

	t.Run("masks old and new values after a rotation", func(t *testing.T) {
		c, s := jobClient(t, secret("A", "first-value"))
		j := shell(c, `trap 'echo told' USR1; echo ready
		while ! read line; do :; done
		echo "$A $line"`, nil, "A")
		j.OnRotate = job.Signal(syscall.SIGUSR1)
		r := begin(t, j)
		r.await(t, "ready")
		for _, value := range []string{"second-value", "third-value"} {
			refreshTo(t, c, s, bundleOf(secret("A", value)))
			leaktest.Eventually(t, "the job gets a signal for each rotation", func() bool {
				return strings.Count(r.String(), "told") == map[string]int{"second-value": 1, "third-value": 2}[value]
			})
		}
		r.say(t, "second-value third-value fourth-value")
		require.Zero(t, r.ends(t))
		require.Contains(t, r.String(), "[A] [A] [A] fourth-value\n", "all values of the job are masked, and nothing else")
	})

	t.Run("causes a warning about a value that is too short to mask", func(t *testing.T) {
		c, _ := jobClient(t, secret("PIN", "12345"), secret("LONG", "123456"), secret("EMPTY", ""))
		j := shell(c, "exit 3", nil, "PIN", "LONG", "EMPTY")
		var log transcript
		j.Logger = logTo(&log)
		code, _ := runs(t, j)
		require.Equal(t, 3, code)
		require.Contains(t, log.String(), "too short to mask")
		require.Contains(t, log.String(), "secret=PIN")
		require.NotContains(t, log.String(), "LONG")
		require.NotContains(t, log.String(), "EMPTY", "an empty value needs no masking")
		require.NotContains(t, log.String(), "12345")
	})

	t.Run("is complete when the program is killed", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", "hunter22hunter"))
		code, out := runs(t, shell(c, `i=0; while [ $i -lt 5000 ]; do echo "line $i"; i=$((i+1)); done; printf hunter22; kill -9 $$`, nil, "A"))
		require.Equal(t, 137, code)
		require.True(t, strings.HasSuffix(out, "line 4999\nhunter22"), "held back output that could start a secret comes at the end: %q", out[len(out)-40:])
		require.Equal(t, 5000, strings.Count(out, "line "))
	})

	t.Run("keeps the order of a stream", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", "hunter22hunter"))
		var want strings.Builder
		for i := range 2000 {
			want.WriteString(itoa(i) + " [A]\n")
		}
		_, out := runs(t, shell(c, `i=0; while [ $i -lt 2000 ]; do echo "$i $A"; i=$((i+1)); done`, nil, "A"))
		require.Equal(t, want.String(), out)
	})

	t.Run("calls a shared writer one stream at a time", func(t *testing.T) {
		c, _ := jobClient(t)
		var w jealous
		_, err := shell(c, `i=0; while [ $i -lt 500 ]; do echo out; echo err >&2; i=$((i+1)); done`, &w).Run(t.Context())
		require.NoError(t, err)
		require.Zero(t, w.overlaps.Load())
		require.Equal(t, 500, strings.Count(w.lines.String(), "out\n"))
		require.Equal(t, 500, strings.Count(w.lines.String(), "err\n"))
	})

	t.Run("accepts a writer that cannot be compared", func(t *testing.T) {
		c, _ := jobClient(t)
		var out transcript
		j := shell(c, "echo out; echo err >&2", closure{out.Write})
		code, err := j.Run(t.Context())
		require.NoError(t, err)
		require.Zero(t, code)
		require.ElementsMatch(t, []string{"out", "err"}, strings.Fields(out.String()))
	})

	t.Run("is dropped without a writer", func(t *testing.T) {
		c, _ := jobClient(t)
		code, err := job.Job{Client: c, Path: "sh", Args: []string{"-c", "echo out; echo err >&2 && exit 7"}}.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, 7, code, "the job can still write")
	})

	t.Run("that cannot be written is an error returned with the code", func(t *testing.T) {
		c, _ := jobClient(t)
		full := errors.New("the disk is full")
		j := job.Job{Client: c, Path: "sh", Args: []string{"-c", "trap '' PIPE; echo out; exit 5"}, Stdout: broken{full}}
		code, err := j.Run(t.Context())
		require.ErrorIs(t, err, full)
		require.EqualError(t, err, "running the job: writing the job's stdout: the disk is full")
		require.Equal(t, 5, code)
	})
}

// jealous is a writer that detects overlapping calls.
type jealous struct {
	busy, overlaps atomic.Int32
	lines          transcript
}

func (j *jealous) Write(p []byte) (int, error) {
	if j.busy.Add(1) > 1 {
		j.overlaps.Add(1)
	}
	defer j.busy.Add(-1)
	time.Sleep(time.Microsecond) // lets other calls start
	return j.lines.Write(p)
}

// closure is a writer for which == panics.
type closure struct{ write func([]byte) (int, error) }

func (u closure) Write(p []byte) (int, error) { return u.write(p) }

type broken struct{ err error }

func (f broken) Write([]byte) (int, error) { return 0, f.err }

func TestJob_Stdin(t *testing.T) {
	c, _ := jobClient(t)
	j := shell(c, "cat", nil)
	j.Stdin = strings.NewReader(strings.Repeat("a line\n", 50000))
	_, out := runs(t, j)
	require.Equal(t, 50000, strings.Count(out, "a line\n"))

	j = shell(c, "exec 0<&-; echo done", nil)
	j.Stdin = strings.NewReader(strings.Repeat("a line\n", 50000))
	_, out = runs(t, j)
	require.Equal(t, "done\n", out, "a program need not read all of stdin")
}

func TestJob(t *testing.T) {
	t.Run("runs in its directory", func(t *testing.T) {
		c, _ := jobClient(t)
		j := shell(c, "pwd -P", nil)
		j.Dir = t.TempDir()
		_, out := runs(t, j)
		require.True(t, strings.HasSuffix(strings.TrimSpace(out), j.Dir), "got %q", out)
	})

	t.Run("may run twice, concurrently", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", "hunter22hunter"))
		j := shell(c, `echo "$A"; read line; echo "$line"`, nil, "A")
		first, second := begin(t, j), begin(t, j)
		first.await(t, "[A]")
		second.await(t, "[A]")
		second.say(t, "second")
		require.Zero(t, second.ends(t), "the first still runs")
		first.say(t, "first")
		require.Zero(t, first.ends(t))
		require.Equal(t, "[A]\nfirst\n", first.String())
		require.Equal(t, "[A]\nsecond\n", second.String())
	})

	t.Run("rejects invalid settings", func(t *testing.T) {
		c, _ := jobClient(t)
		for why, change := range map[string]func(*job.Job){
			"field Client is nil":                                                  func(j *job.Job) { j.Client = nil },
			"set it to the client that has":                                        func(j *job.Job) { j.Client = (*satchel.Client)(nil) },
			"field Path is empty":                                                  func(j *job.Job) { j.Path = "" },
			"use positive durations, or zero for the default":                      func(j *job.Job) { j.Grace = -1 },
			"and RestartDelay is -1ns":                                             func(j *job.Job) { j.RestartDelay = -1 },
			"has an invalid Signal":                                                func(j *job.Job) { j.OnRotate = job.Signal(nil) },
			"Stdin can be read only once":                                          func(j *job.Job) { j.Stdin, j.OnRotate = strings.NewReader(""), job.Restart },
			`field Secrets: the name "A B" has ' ' at byte 1`:                      func(j *job.Job) { j.Secrets = []string{"A B"} },
			"field AllowNames: the name is empty":                                  func(j *job.Job) { j.AllowNames = []string{""} },
			"field Git: the Secret of entry 1: the name is empty":                  func(j *job.Job) { j.Git = []job.GitCredential{{URL: "https://github.com"}} },
			`field PassEnv: "A=B" is not a valid variable name`:                    func(j *job.Job) { j.PassEnv = []string{"A=B"} },
			`field Env: entry 2 does not have the form "NAME=value"`:               func(j *job.Job) { j.Env = []string{"A=", "c4n4ry"} },
			"the working directory /nowhere/at/all is not an accessible directory": func(j *job.Job) { j.Dir = "/nowhere/at/all" },
			"argument 3 has a NUL at byte 1, which variables and arguments":        func(j *job.Job) { j.Args = append(j.Args, "a\x00") },
			"the variable A has a NUL at byte 0, which variables":                  func(j *job.Job) { j.Env = []string{"A=\x00"} },
		} {
			j := shell(c, "echo ran", nil)
			change(&j)
			got := refused(t, j)
			require.Contains(t, got, why)
			require.NotContains(t, got, "c4n4ry")
		}
	})

	t.Run("rejects a brokered secret", func(t *testing.T) {
		s := secret("A", "hunter22hunter")
		s.Delivery = bundle.DeliverBroker
		c, _ := jobClient(t, s)
		require.Equal(t, "running the job: the secret A has delivery by broker, which is not supported yet; deliver it by environment or file",
			refused(t, shell(c, "echo ran", nil, "A")))
	})
}

func TestRotateAction(t *testing.T) {
	require.Equal(t, "leave", job.Leave.String())
	require.Equal(t, "restart", job.Restart.String())
	require.Equal(t, "signal hangup", job.Signal(syscall.SIGHUP).String())
	require.Equal(t, job.Leave, job.Job{}.OnRotate, "Leave is the default")
}
