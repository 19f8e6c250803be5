//go:build unix

package job_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/job"
)

// endless is the rest of a script that writes until it can no longer.
const endless = `while :; do echo x; sleep 0.01; done`

func TestJob_ClosedOutput(t *testing.T) {
	t.Run("of this process ends the job and keeps its code", func(t *testing.T) {
		for _, row := range []struct {
			what, script, code string
		}{
			{"a program that SIGPIPE kills", endless, "141"},
			{"a program with a code of its own", `trap '' PIPE; while echo x; do sleep 0.01; done 2>/dev/null; exit 5`, "5"},
			{"a program that ignores the error", `trap '' PIPE; trap 'exit 9' TERM; while :; do echo x; sleep 0.01; done 2>/dev/null`, "9"},
			{"a program that stops writing", `trap 'exit 9' TERM; echo x; ` + waits, "9"},
		} {
			r := startRunner(t, family+`read go; `+row.script, func(cmd *exec.Cmd) { cmd.Stderr = nil }, "SATCHEL_TEST_RESULTS=stderr")
			left := r.family(t)
			require.NoError(t, r.out.Close())
			_, err := io.WriteString(r.in, "go\n")
			require.NoError(t, err)
			r.lines = bufio.NewReader(r.stderr)
			require.Equal(t, " "+row.code+" error running the job: writing the job's stdout: write /dev/stdout: broken pipe", r.expect(t, "runner: code"), row.what)
			require.Equal(t, atoi(t, row.code), r.ends(t).ExitStatus(), row.what)
			left.gone(t, row.what)
		}
	})

	t.Run("is a closed pipe at head", func(t *testing.T) {
		dir := t.TempDir()
		script := `cd ` + dir + `; echo $$ >pid; sh -c 'trap "" HUP INT TERM; echo $$ >child; while :; do sleep 0.05; done' &
			until [ -s child ]; do sleep 0.01; done; echo "path $KEY_FILE"; ` + endless
		r := startRunner(t, script, func(cmd *exec.Cmd) {
			cmd.Args = []string{"sh", "-c", `{ "$0"; echo "code $?" >&2; } | head -n 1`, cmd.Path}
			cmd.Path = "/bin/sh"
			cmd.Stderr = nil
		}, "SATCHEL_TEST_RESULTS=stderr")
		left := remains{path: r.expect(t, "path ")}
		for name, pid := range map[string]*string{"pid": &left.pid, "child": &left.child} {
			content, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			*pid = string(content)
		}
		r.lines = bufio.NewReader(r.stderr)
		require.Equal(t, "141", r.expect(t, "code "))
		left.gone(t, "head")
	})

	t.Run("of standard error does it too", func(t *testing.T) {
		r := startRunner(t, family+`read go; while :; do echo x >&2; sleep 0.01; done`, func(cmd *exec.Cmd) { cmd.Stderr = nil }, "SATCHEL_TEST_RESULTS=stdout")
		left := r.family(t)
		require.NoError(t, r.stderr.Close())
		_, err := io.WriteString(r.in, "go\n")
		require.NoError(t, err)
		require.Equal(t, " 141 error running the job: writing the job's stderr: write /dev/stderr: broken pipe", r.expect(t, "runner: code"))
		left.gone(t, "standard error")
	})

	t.Run("of another writer ends the job too", func(t *testing.T) {
		c, _ := jobClient(t)
		theirs, ours, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, theirs.Close())
		var log transcript
		j := shell(c, `trap '' PIPE; trap 'exit 9' TERM; echo x; `+waits, ours)
		j.Logger = logTo(&log)
		begin := time.Now()
		code, err := j.Run(t.Context())
		require.ErrorIs(t, err, syscall.EPIPE)
		require.Equal(t, 9, code)
		require.Less(t, time.Since(begin), 8*time.Second, "before the end of the grace period")
		require.Contains(t, log.String(), "its output cannot be written")
		require.NoError(t, ours.Close())
	})

	t.Run("allows no restart", func(t *testing.T) {
		c, s := jobClient(t, secret("A", "first-value"))
		theirs, ours, err := os.Pipe()
		require.NoError(t, err)
		ended := make(chan int, 1)
		j := shell(c, `trap 'exit 9' TERM; echo "start $A"; while :; do echo x; sleep 0.01; done`, ours, "A")
		j.OnRotate, j.RestartDelay = job.Restart, time.Millisecond
		go func() {
			code, _ := j.Run(t.Context())
			ended <- code
		}()
		line, err := bufio.NewReader(theirs).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "start [A]\n", line)
		require.NoError(t, theirs.Close())
		refreshTo(t, c, s, bundleOf(secret("A", "second-value")))
		select {
		case code := <-ended:
			require.Contains(t, []int{9, 141}, code)
		case <-time.After(20 * time.Second):
			require.Fail(t, "the job does not end")
		}
		require.NoError(t, ours.Close())
	})
}

func TestJob_Paused(t *testing.T) {
	c, _ := jobClient(t)
	j := shell(c, `trap 'exit 9' TERM; echo "pid $$ end"; `+waits, nil)
	j.Grace = time.Minute
	r := begin(t, j)
	r.await(t, " end")
	require.NoError(t, syscall.Kill(atoi(t, r.between("pid ", " end")), syscall.SIGSTOP))
	r.cancel()
	leaktest.Eventually(t, "a paused program can end in its own way", func() bool {
		select {
		case <-r.done:
			return true
		default:
			return false
		}
	})
	require.Equal(t, 9, r.ends(t))
}
