//go:build unix

package job

import (
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
)

// lines records the output of a job, or a log.
type lines struct{ leaktest.Output }

func (l *lines) count(text string) int { return strings.Count(l.String(), text) }

// await waits until text was written n times.
func (l *lines) await(t *testing.T, text string, n int) {
	t.Helper()
	leaktest.Eventually(t, "waiting for "+text, func() bool { return l.count(text) >= n })
}

// scriptRun returns a run of an sh script, its output and its log.
func scriptRun(t *testing.T, source values, script string, action RotateAction) (*run, *lines, *lines) {
	t.Helper()
	out, log := new(lines), new(lines)
	client, err := satchel.New(t.Context(), []bundle.Provider{source}, &satchel.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	r, err := newRun(t.Context(), Job{
		Client: client, Path: "sh", Args: []string{"-c", script}, Secrets: []string{"A"}, Stdout: out, Stderr: out,
		OnRotate: action, RestartDelay: time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	require.NoError(t, err)
	return r, out, log
}

func TestProcess_Terminate(t *testing.T) {
	const script = `n=0; trap 'n=$((n+1)); echo told' TERM; trap 'over=1' USR1; echo ready; while [ -z "$over" ]; do sleep 0.01; done; exit $n`
	forwarded := func(p *process) { p.forward(syscall.SIGTERM) }
	ended := func(p *process) { p.terminate(time.Minute) }
	for name, steps := range map[string][2]func(*process){
		"a signal, then the context": {forwarded, ended},
		"the context, then a signal": {ended, forwarded},
	} {
		r, out, _ := scriptRun(t, values{"A": "first-value"}, script, Leave)
		require.NoError(t, r.update())
		p, err := r.start(r.plan)
		require.NoError(t, err)
		out.await(t, "ready", 1)
		steps[0](p)
		out.await(t, "told", 1)
		if !p.forwarded.IsZero() {
			p.forwarded = time.Now() // in case that took long
		}
		steps[1](p)
		p.signal(syscall.SIGUSR1)
		<-p.ended
		code, err := p.finish()
		require.NoError(t, err)
		require.Equal(t, 1, code, name)
		require.NoError(t, r.close(nil))
	}

	r, out, _ := scriptRun(t, values{"A": "first-value"}, script, Leave)
	require.NoError(t, r.update())
	p, err := r.start(r.plan)
	require.NoError(t, err)
	out.await(t, "ready", 1)
	for i := range 2 {
		forwarded(p)
		out.await(t, "told", i+1)
	}
	p.forwarded = p.forwarded.Add(-time.Minute)
	ended(p)
	out.await(t, "told", 3)
	p.signal(syscall.SIGUSR1)
	<-p.ended
	code, err := p.finish()
	require.NoError(t, err)
	require.Equal(t, 3, code, "two forwarded signals both arrive, and an old one does not replace that of the context")
	require.NoError(t, r.close(nil))
}

func TestProcess_SignalDuringRestart(t *testing.T) {
	source := values{"A": "first-value"}
	r, out, log := scriptRun(t, source, `trap 'echo told; : >&2; while [ -z "$over" ]; do sleep 0.01; done; exit 14' TERM; trap 'over=1' USR1; echo ready; while :; do sleep 0.01; done`, Restart)
	var code int
	var err error
	var group sync.WaitGroup
	group.Go(func() { code, err = r.run(t.Context()) })
	out.await(t, "ready", 1)
	source["A"] = "second-value"
	_, e := r.Client.(*satchel.Client).Refresh(t.Context())
	require.NoError(t, e)
	out.await(t, "told", 1)
	require.Equal(t, 1, log.count("restarting the job"))
	r.signals <- syscall.SIGTERM // as if this process had received it
	r.signals <- syscall.SIGUSR1 // lets the program end
	group.Wait()
	require.NoError(t, err)
	require.Equal(t, 14, code)
	require.Equal(t, 1, out.count("ready"), "the program is not started again")
}

func TestProcess_Signal(t *testing.T) {
	source := values{"A": "first-value", "B": "first-value"}
	r, out, log := scriptRun(t, source, `n=0; trap 'echo told' USR1; echo ready; while :; do sleep 0.01; done`, Signal(syscall.SIGUSR1))
	require.NoError(t, r.update())
	p, err := r.start(r.plan)
	require.NoError(t, err)
	out.await(t, "ready", 1)
	for i, change := range []struct {
		name, value string
		want        int
	}{{"A", "second-value", 1}, {"B", "second-value", 1}, {"C", "first-value", 1}, {"A", "third-value", 2}} {
		source[change.name] = change.value
		_, err := r.Client.(*satchel.Client).Refresh(t.Context())
		require.NoError(t, err)
		require.True(t, r.refresh())
		require.False(t, r.applyRotation(p), "a signal is not a restart")
		require.Equal(t, change.want, log.count("signaling the job"), "change %d", i)
		out.await(t, "told", change.want)
	}
	p.kill()
	<-p.ended
	_, err = p.finish()
	require.NoError(t, err)
	require.NoError(t, r.close(nil))
}
