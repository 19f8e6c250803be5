//go:build unix

package job_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/job"
)

// family is a script that prints the path of its file and the PIDs of its shell and of
// a child that ignores signals.
const family = `echo "path $KEY_FILE"; echo "pid $$"
	sh -c 'trap "" HUP INT TERM QUIT PIPE; echo "child $$"; while :; do sleep 0.05; done' & `

// remains are the things that a job must not leave behind.
type remains struct{ path, pid, child string }

func (r *runner) family(t *testing.T) remains {
	t.Helper()
	return remains{path: r.expect(t, "path "), pid: r.expect(t, "pid "), child: r.expect(t, "child ")}
}

// gone requires that nothing of the job remains.
func (f remains) gone(t *testing.T, how string) {
	t.Helper()
	leaktest.Eventually(t, how+": the program is gone", func() bool { return !alive(t, f.pid) })
	leaktest.Eventually(t, how+": its child is gone", func() bool { return !alive(t, f.child) })
	leaktest.Eventually(t, how+": its directory is gone", func() bool {
		found, err := filepath.Glob(filepath.Dir(f.path))
		return err == nil && len(found) == 0
	})
}

func TestGuard(t *testing.T) {
	t.Run("cleans up after a runner that dies of a signal", func(t *testing.T) {
		for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGKILL} {
			if ignoredHere[sig] {
				continue
			}
			r := startRunner(t, family+waits, func(cmd *exec.Cmd) { cmd.Stderr = io.Discard }, "SATCHEL_TEST_DIES=signal")
			left := r.family(t)
			require.FileExists(t, left.path)
			r.sends(t, sig)
			r.ends(t)
			left.gone(t, sig.String())
		}
	})

	t.Run("cleans up after a runner that ends without the job", func(t *testing.T) {
		for how, code := range map[string]int{"exit": 7, "panic": 2} {
			r := startRunner(t, family+waits, func(cmd *exec.Cmd) { cmd.Stderr = io.Discard }, "SATCHEL_TEST_DIES="+how)
			left := r.family(t)
			_, err := io.WriteString(r.in, "die\n")
			require.NoError(t, err)
			require.Equal(t, code, r.ends(t).ExitStatus(), how)
			left.gone(t, how)
		}
	})

	t.Run("does nothing after the job", func(t *testing.T) {
		r := startRunner(t, "exit 3", nil)
		require.Equal(t, " 3 error <nil>", r.expect(t, "runner: code"))
		require.Equal(t, 3, r.ends(t).ExitStatus())
	})
}

// ignoredHere has the signals that the tests, and thus their runners, ignore.
var ignoredHere = map[syscall.Signal]bool{syscall.SIGHUP: signal.Ignored(syscall.SIGHUP), syscall.SIGINT: signal.Ignored(syscall.SIGINT)}

// panics is a client that panics when a job looks for a rotation.
type panics struct {
	job.Source
	changes chan struct{}
	armed   bool
}

func (p *panics) Bundle() *bundle.Bundle {
	if p.armed {
		panic(errors.New("the client has a bug"))
	}
	return p.Source.Bundle()
}

func (p *panics) Changes(ctx context.Context) iter.Seq[bundle.Diff] {
	return func(yield func(bundle.Diff) bool) {
		select {
		case <-p.changes:
			yield(bundle.Diff{})
		case <-ctx.Done():
		}
	}
}

func TestRun_Oversee(t *testing.T) {
	inOwnGroup(t)
	c, _ := jobClient(t, delivered("KEY", "value-of-key", bundle.DeliverFile))
	source := &panics{Source: c, changes: make(chan struct{})}
	var out transcript
	j := shell(nil, family+waits, &out, "KEY")
	j.Client = source
	panicked := make(chan any)
	go func() {
		defer func() { panicked <- recover() }()
		_, _ = j.Run(t.Context())
	}()
	out.await(t, "child ")
	leaktest.Eventually(t, "all lines", func() bool { return out.between("child ", "\n") != "" })
	source.armed = true
	source.changes <- struct{}{}
	require.ErrorContains(t, (<-panicked).(error), "the client has a bug", "the panic is the caller's")
	left := remains{out.between("path ", "\n"), out.between("pid ", "\n"), out.between("child ", "\n")}
	left.gone(t, "a panic of the client")
}
