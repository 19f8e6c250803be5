package job_test

import (
	"bufio"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/internal/testenv"
)

func TestRunner_Linux(t *testing.T) {
	t.Run("kills the job when it dies", func(t *testing.T) {
		r := startRunner(t, `echo "path $KEY_FILE"; echo "pid $$"; `+waits, nil)
		path := r.expect(t, "path ")
		pid := r.expect(t, "pid ")
		r.sends(t, syscall.SIGKILL)
		require.True(t, r.ends(t).Signaled())
		leaktest.Eventually(t, "the job is gone", func() bool { return !alive(t, pid) })
		require.NoError(t, os.RemoveAll(filepath.Dir(path)), "a killed runner leaves its files, which the test removes")
	})

	t.Run("forwards signals and reaps orphans as PID 1", func(t *testing.T) {
		r := startRunner(t, `
		i=0; while [ $i -lt 20 ]; do (sleep 0.001 &); i=$((i+1)); done
		(trap "" TERM; sleep 1000 >/dev/null 2>&1 &)
		trap 'echo got TERM; exit 37' TERM
		until ! grep -l '^State:.Z' /proc/[0-9]*/status >/dev/null 2>&1; do sleep 0.01; done
		echo "reaped; the parent is $PPID"; `+waits, asFirst(t))
		require.Equal(t, "1", r.expect(t, "reaped; the parent is "), "the runner is PID 1 and reaps orphans while the job runs")
		first, err := os.ReadFile("/proc/" + strconv.Itoa(r.cmd.Process.Pid) + "/task/" + strconv.Itoa(r.cmd.Process.Pid) + "/children")
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(atoi(t, string(first)), syscall.SIGTERM))
		r.expect(t, "got TERM")
		require.Equal(t, " 37 error <nil>", r.expect(t, "runner: code"))
		require.Equal(t, " []", r.expect(t, "runner: children"))
		require.Equal(t, 37, r.ends(t).ExitStatus())
	})

	t.Run("gives a background job its own process group on a terminal", func(t *testing.T) {
		const script = `read -r _ _ _ _ group _ <"/proc/$$/stat"; [ "$group" = $$ ] && echo "group its own" || echo "group the terminal's"`
		r, _ := startRunnerOnTerminal(t, script, "SATCHEL_TEST_BACKGROUND=1")
		require.Equal(t, "its own", r.expect(t, "group "), "input at the terminal is for the runner")
		require.Zero(t, r.ends(t).ExitStatus())
		r, _ = startRunnerOnTerminal(t, script)
		require.Equal(t, "the terminal's", r.expect(t, "group "), "otherwise the job shares the runner's group")
		require.Zero(t, r.ends(t).ExitStatus())
	})

	t.Run("interrupts a job in the terminal's foreground once", func(t *testing.T) {
		r, ours := startRunnerOnTerminal(t, `n=0; trap 'n=$((n+1)); echo "interrupt $n"' INT; trap 'echo got TERM; exit $n' TERM; read line; echo "read $line"; `+waits)
		_, err := ours.WriteString("from the terminal\n")
		require.NoError(t, err)
		r.expect(t, "read from the terminal")
		_, err = ours.WriteString("\x03") // Ctrl-C
		require.NoError(t, err)
		require.Equal(t, "1", r.expect(t, "^Cinterrupt "))
		r.sends(t, syscall.SIGINT) // to the runner alone, which takes it for the terminal's signal
		r.sends(t, syscall.SIGTERM)
		r.expect(t, "got TERM")
		require.Equal(t, " 1 error <nil>", r.expect(t, "runner: code"), "one interrupt, from the terminal")
		require.Equal(t, 1, r.ends(t).ExitStatus())
	})
}

func TestRunner_Hangup(t *testing.T) {
	// The runner starts with the default handling of the signal, under nohup, too.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	r, _ := startRunnerOnTerminal(t, `trap 'echo got HUP; exit 5' HUP; echo ready; `+waits)
	r.expect(t, "ready")
	r.sends(t, syscall.SIGHUP) // as the system does to the leader of the session
	r.expect(t, "got HUP")
	require.Equal(t, 5, r.ends(t).ExitStatus())
}

func TestIgnored_Terminal(t *testing.T) {
	const script = `echo ready; sleep 0.1; kill -HUP $$; exit 33`
	r, _ := startRunnerOnTerminal(t, script, "SATCHEL_TEST_SIGNALS=ignore;hup:terminal leave:terminal hup:terminal leave:terminal;hangup")
	for _, line := range codes(t, r) {
		want := " code 33 error <nil>"
		if strings.Contains(line, "hup") {
			want = " code 129 error <nil>"
		}
		require.Contains(t, line, want, "a job in the foreground ignores it too, whatever other jobs do")
	}
	require.Zero(t, r.ends(t).ExitStatus())
}

// asFirst returns a function that makes a command PID 1 of a new PID namespace, with
// its own /proc.
func asFirst(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	unshare, err := exec.LookPath("unshare")
	if err == nil {
		err = exec.Command(unshare, "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "true").Run()
	}
	if err != nil {
		testenv.Lacks(t, "this machine does not support PID namespaces: %v", err)
	}
	return func(cmd *exec.Cmd) {
		self := cmd.Path
		cmd.Path, cmd.Args = unshare, []string{"unshare", "--user", "--map-root-user", "--pid", "--kill-child", "--mount-proc", self}
	}
}

// openTerminal returns both ends of a new terminal.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ours.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	theirs, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = theirs.Close() })
	return ours, theirs
}

// startRunnerOnTerminal starts a runner with a new controlling terminal, and returns
// our end of the terminal.
func startRunnerOnTerminal(t *testing.T, script string, env ...string) (*runner, *os.File) {
	t.Helper()
	ours, theirs := openTerminal(t)
	r := startRunner(t, script, func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	}, env...)
	require.NoError(t, theirs.Close()) // then reading ends with the runner
	r.lines = bufio.NewReader(ours)
	return r, ours
}
