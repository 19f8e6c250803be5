//go:build unix

package job_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// The test binary runs one job if the environment has a script: signals and process
// groups affect an entire process, so these tests need a child.
func init() {
	if script, ok := os.LookupEnv("SATCHEL_TEST_SCRIPT"); ok {
		os.Exit(runnerMain(script))
	}
}

func runnerMain(script string) int {
	ctx := context.Background()
	if os.Getenv("SATCHEL_TEST_CANCEL") != "" { // as main functions do
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
	}
	secret := bundle.Secret{Name: "KEY", Value: bundle.NewValue("value-of-key"), Delivery: bundle.DeliverFile}
	source := newSource(secret)
	client, err := satchel.New(ctx, []bundle.Provider{source}, &satchel.Options{Logger: quiet})
	if err != nil {
		fmt.Println(err)
		return 99
	}
	if _, ok := os.LookupEnv("SATCHEL_TEST_SIGNALS"); ok {
		return signalsMain(ctx, client, source, script)
	}
	j := shell(client, script, os.Stdout, "KEY")
	j.Stdin = os.Stdin
	j.OwnDir = os.Getenv("SATCHEL_TEST_OWN_DIR") != ""
	if os.Getenv("SATCHEL_TEST_BACKGROUND") != "" {
		j.Background = true
		caught := make(chan os.Signal, 1)
		signal.Notify(caught, syscall.SIGUSR1)
		go func() {
			<-caught
			fmt.Println("runner: caught the signal")
		}()
	}
	if how := os.Getenv("SATCHEL_TEST_DIES"); how != "" {
		j.Stdin, j.Background = nil, true
		go func() {
			_, _ = os.Stdin.Read(make([]byte, 1))
			switch how {
			case "exit":
				os.Exit(7)
			case "panic":
				panic("the program has a bug")
			}
		}()
	}
	results := os.Stdout
	if name := os.Getenv("SATCHEL_TEST_RESULTS"); name != "" {
		j.Stderr, j.Grace = os.Stderr, 100*time.Millisecond
		if name == "stderr" {
			results = os.Stderr
		}
	}
	code, err := j.Run(ctx)
	fmt.Fprintln(results, "runner: code", code, "error", err)
	if os.Getpid() == 1 {
		fmt.Println("runner: children", children())
	}
	if os.Getenv("SATCHEL_TEST_AFTER") != "" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		time.Sleep(time.Minute)
	}
	return code
}

// children returns the PIDs of the children of PID 1, including zombies.
func children() []string {
	found := []string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == "1" {
			found = append(found, filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}

// runner is a process that runs a job.
type runner struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
	out   io.ReadCloser
	// stderr is set if the test leaves the standard error open.
	stderr io.ReadCloser
	in     io.WriteCloser
}

// startRunner starts a runner in a new session without a terminal.
func startRunner(t *testing.T, script string, change func(*exec.Cmd), env ...string) *runner {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	r := &runner{cmd: exec.Command(self)}
	r.cmd.Env = append(os.Environ(), append(env, "SATCHEL_TEST_SCRIPT="+script)...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r.cmd.Stderr = os.Stderr
	if change != nil {
		change(r.cmd)
	}
	if r.cmd.Stdout == nil {
		r.out, err = r.cmd.StdoutPipe()
		require.NoError(t, err)
		r.in, err = r.cmd.StdinPipe()
		require.NoError(t, err)
		r.lines = bufio.NewReader(r.out)
	}
	if r.cmd.Stderr == nil {
		r.stderr, err = r.cmd.StderrPipe()
		require.NoError(t, err)
	}
	require.NoError(t, r.cmd.Start())
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // usually it has ended already
		_ = r.cmd.Wait()
	})
	return r
}

// expect reads lines up to one with the prefix start, and returns the rest of it.
func (r *runner) expect(t *testing.T, start string) string {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { _ = r.cmd.Process.Kill() })
	defer timer.Stop()
	for {
		line, err := r.lines.ReadString('\n')
		require.NoError(t, err, "the runner ends without the line %q", start)
		if rest, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), start); ok {
			return rest
		}
	}
}

// sends sends a signal to the runner alone.
func (r *runner) sends(t *testing.T, sig syscall.Signal) {
	t.Helper()
	require.NoError(t, r.cmd.Process.Signal(sig))
}

// ends waits for the end of the runner and returns its status.
func (r *runner) ends(t *testing.T) syscall.WaitStatus {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { _ = r.cmd.Process.Kill() })
	defer timer.Stop()
	_ = r.cmd.Wait()
	return r.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

const waits = `while :; do sleep 0.01; done`

func TestRunner(t *testing.T) {
	t.Run("forwards six signals and returns the job's code", func(t *testing.T) {
		for name, sig := range map[string]syscall.Signal{
			"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
		} {
			r := startRunner(t, fmt.Sprintf(`trap 'echo got %s; exit 31' %s; echo ready; %s`, name, name, waits), nil)
			r.expect(t, "ready")
			r.sends(t, sig)
			r.expect(t, "got "+name)
			require.Equal(t, " 31 error <nil>", r.expect(t, "runner: code"), name)
			require.Equal(t, 31, r.ends(t).ExitStatus(), name)

			r = startRunner(t, "ulimit -c 0; echo ready; "+waits, nil)
			r.expect(t, "ready")
			r.sends(t, sig)
			require.Equal(t, 128+int(sig), r.ends(t).ExitStatus(), "a job that does not handle %s dies of it, and the runner survives", name)
		}
	})

	t.Run("forwards signals from the start of the job", func(t *testing.T) {
		r := startRunner(t, `trap 'exit 33' USR1; kill -USR1 $PPID; `+waits, nil)
		require.Equal(t, " 33 error <nil>", r.expect(t, "runner: code"), "the handlers are active before the program starts")
		require.Equal(t, 33, r.ends(t).ExitStatus())
	})

	t.Run("forwards signals to the process group", func(t *testing.T) {
		r := startRunner(t, `trap 'wait; exit 0' USR1; sh -c 'trap "echo child got it; exit" USR1; echo ready; while :; do sleep 0.01; done' & `+waits, nil)
		r.expect(t, "ready")
		r.sends(t, syscall.SIGUSR1)
		r.expect(t, "child got it")
		require.Zero(t, r.ends(t).ExitStatus())
	})

	t.Run("sends a signal once if it also ends the context", func(t *testing.T) {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			r := startRunner(t, `n=0; trap 'n=$((n+1)); echo told $n' TERM; trap '' INT; echo ready; i=0; while [ $n -eq 0 ] || [ $i -lt 20 ]; do sleep 0.01; [ $n -eq 0 ] || i=$((i+1)); done; exit $n`, nil, "SATCHEL_TEST_CANCEL=1")
			r.expect(t, "ready")
			r.sends(t, sig)
			require.Equal(t, 1, r.ends(t).ExitStatus(), "%s: the job gets SIGTERM once", sig)
		}
	})

	t.Run("keeps its signals from a background job", func(t *testing.T) {
		r := startRunner(t, `n=0; trap 'n=31' USR1; echo ready; read line; exit $n`, nil, "SATCHEL_TEST_BACKGROUND=1")
		r.expect(t, "ready")
		r.sends(t, syscall.SIGUSR1)
		r.expect(t, "runner: caught the signal")
		_, err := io.WriteString(r.in, "go on\n")
		require.NoError(t, err)
		require.Equal(t, " 0 error <nil>", r.expect(t, "runner: code"), "the job did not get the signal")
	})

	t.Run("restores its signal handling after the job", func(t *testing.T) {
		r := startRunner(t, "exit 0", nil, "SATCHEL_TEST_AFTER=1")
		status := r.ends(t)
		require.True(t, status.Signaled(), "the default handling is restored")
		require.Equal(t, syscall.SIGTERM, status.Signal())
	})

	t.Run("removes files after a signal", func(t *testing.T) {
		r := startRunner(t, `echo "path $KEY_FILE"; `+waits, nil)
		path := r.expect(t, "path ")
		require.FileExists(t, path)
		r.sends(t, syscall.SIGTERM)
		require.Equal(t, 143, r.ends(t).ExitStatus())
		require.NoDirExists(t, filepath.Dir(path))
	})
}
