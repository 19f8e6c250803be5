//go:build linux || darwin

package job_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/job"
)

func TestJob_Files(t *testing.T) {
	t.Run("makes a secret a file only, whatever its delivery", func(t *testing.T) {
		c, _ := jobClient(t, secret("LOCAL", "hunter22hunter"), delivered("KEY", "value-of-key", bundle.DeliverFile), secret("A", "value-of-a"))
		j := shell(c, `echo "[$LOCAL] [$KEY] $A"; cat "$LOCAL_FILE"; echo; cat "$KEY_FILE"`, nil, "A", "LOCAL")
		j.Files = []string{"LOCAL", "KEY", "LOCAL"}
		code, out := runs(t, j)
		require.Zero(t, code)
		require.Equal(t, "[] [] [A]\n[LOCAL]\n[KEY]", out, "the secrets of Files are files only, and masked")
	})
	t.Run("leaves other secrets as variables", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", "value-of-a"), secret("B", "value-of-b"))
		j := job.Job{Client: c, PassEnv: []string{}, Files: []string{"A"}, Secrets: []string{"B"}}
		require.Len(t, variables(t, j), 2, "A_FILE and B")
	})
	t.Run("replaces the file before the signal of a rotation", func(t *testing.T) {
		c, s := jobClient(t, secret("A", "first-value"))
		j := shell(c, `trap 'cat "$A_FILE"; echo; exit 4' HUP; echo ready; while ! read line; do :; done`, nil)
		j.Files, j.OnRotate = []string{"A"}, job.Signal(syscall.SIGHUP)
		r := begin(t, j)
		r.await(t, "ready")
		refreshTo(t, c, s, bundleOf(secret("A", "second-value")))
		require.Equal(t, 4, r.ends(t))
		require.Equal(t, "ready\n[A]\n", r.String(), "the new value is masked before it is readable")
	})
	t.Run("allows a restart after a rotation", func(t *testing.T) {
		c, s := jobClient(t, secret("A", "first-value"))
		j := restarting(c, time.Millisecond)
		j.Args[1] = `trap 'exit 0' TERM; echo "$(cat "$A_FILE")"; [ "$(cat "$A_FILE")" = second-value ] && exit 21; echo ready; while ! read line; do :; done`
		j.Files = []string{"A"}
		r := begin(t, j)
		r.await(t, "ready")
		refreshTo(t, c, s, bundleOf(secret("A", "second-value")))
		require.Equal(t, 21, r.ends(t))
		require.Equal(t, "[A]\nready\n[A]\n", r.String())
	})
	t.Run("serves a file secret on the socket", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", "value-of-a"))
		j := shell(c, `echo "$SATCHEL_SOCKET"; while ! read line; do :; done`, nil)
		j.Files, j.Socket = []string{"A"}, true
		r := begin(t, j)
		r.await(t, "satchel.sock\n")
		status, body := asks(t, r.String()[:len(r.String())-1], "A")
		require.Equal(t, 200, status)
		require.Equal(t, "value-of-a", body)
	})
	t.Run("names missing secrets", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", "value-of-a"))
		j := shell(c, "echo ran", nil, "Z")
		j.Files = []string{"A", "B"}
		_, err := j.Run(t.Context())
		e, ok := errors.AsType[*bundle.MissingError](err)
		require.True(t, ok)
		require.Equal(t, []string{"B", "Z"}, e.Names)
	})
	t.Run("rejects names as Secrets does", func(t *testing.T) {
		broker := delivered("BROKERED", "value", bundle.DeliverBroker)
		c, _ := jobClient(t, secret("A", "value-of-a"), secret("A_FILE", "value-of-b"), secret("NODE_OPTIONS", "--x"), secret("SSL_CERT", "value"), broker)
		for why, j := range map[string]job.Job{
			`field Files: the name "A B" has ' '`:                         {Files: []string{"A B"}},
			"secrets must not set NODE_OPTIONS":                           {Files: []string{"NODE_OPTIONS"}},
			"secrets must not set SSL_CERT_FILE":                          {Files: []string{"SSL_CERT"}},
			"the secret A is delivered as a file with its path in A_FILE": {Files: []string{"A"}, Secrets: []string{"A_FILE"}},
			"the secret BROKERED has delivery by broker":                  {Files: []string{"BROKERED"}},
		} {
			j.Client, j.Path = c, "echo"
			require.Contains(t, refused(t, j), why)
		}
		j := shell(c, `cat "$NODE_OPTIONS_FILE"`, nil)
		j.Files, j.AllowNames = []string{"NODE_OPTIONS"}, []string{"NODE_OPTIONS"}
		_, out := runs(t, j)
		require.Equal(t, "--x", out, "AllowNames applies to Files too")
	})
}

// TestJob_Faults checks that a program can show the advice of a refusal with its own
// flags.
func TestJob_Faults(t *testing.T) {
	c, _ := jobClient(t, secret("HTTPS_PROXY", "value-of-proxy"))
	t.Setenv("SATCHEL_RUNNER_TOKEN", "set")
	flags := map[string]string{"job.Job.AllowNames": "--allow", "job.Job.PassEnv": "--pass", "job.Job.Env": "--env"}
	for _, row := range []struct {
		j             job.Job
		setting, text string
	}{
		{job.Job{Secrets: []string{"HTTPS_PROXY"}}, "job.Job.AllowNames",
			"running the job: secrets must not set HTTPS_PROXY, which can change what programs do; rename them, or allow them with --allow"},
		{job.Job{PassEnv: []string{"SATCHEL_RUNNER_TOKEN"}}, "job.Job.PassEnv",
			"running the job: SATCHEL_RUNNER_TOKEN is reserved for the runner and must not reach a job; remove it from --pass"},
		{job.Job{Env: []string{"SATCHEL_RUNNER_TOKEN=x"}}, "job.Job.Env",
			"running the job: SATCHEL_RUNNER_TOKEN is reserved for the runner and must not reach a job; remove it from --env"},
		{job.Job{Env: []string{"x"}}, "job.Job.Env", `running the job: field --env: entry 1 does not have the form "NAME=value"`},
		{job.Job{Grace: -1}, "job.Job.Grace",
			"running the job: field Grace is -1ns and RestartDelay is 0s; use positive durations, or zero for the default"},
		{job.Job{RestartDelay: -1}, "job.Job.RestartDelay",
			"running the job: field Grace is 0s and RestartDelay is -1ns; use positive durations, or zero for the default"},
	} {
		row.j.Client, row.j.Path = c, "true"
		_, err := row.j.Run(t.Context())
		fault, ok := errors.AsType[*bundle.Fault](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, row.setting, fault.Setting)
		require.Equal(t, row.text, bundle.Explain(err, func(setting string) string { return flags[setting] }))
	}
}
