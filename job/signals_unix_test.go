//go:build unix

package job_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/job"
)

// signalsMain is a runner that runs jobs as SATCHEL_TEST_SIGNALS says, in steps that a
// semicolon separates: those of a step run side by side. A job gets SIGHUP for a
// rotation if it is called hup, and not if it is called leave; with a colon and
// "terminal", it is not in the background. ignore stands for the program's own
// signal.Ignore, and hangup for a SIGHUP to this process.
func signalsMain(ctx context.Context, client *satchel.Client, source *source, script string) int {
	var rotations int
	for step := range strings.SplitSeq(os.Getenv("SATCHEL_TEST_SIGNALS"), ";") {
		switch step {
		case "ignore":
			signal.Ignore(syscall.SIGHUP)
			continue
		case "hangup":
			if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
				return 98
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		var group sync.WaitGroup
		var ready sync.WaitGroup
		for i, name := range strings.Fields(step) {
			kind, place, _ := strings.Cut(name, ":")
			out := &lineWriter{prefix: fmt.Sprintf("%d %s ", i, kind), ready: ready.Done}
			j := shell(client, script, out, "KEY")
			j.Background = place != "terminal"
			if kind == "hup" {
				j.OnRotate = job.Signal(syscall.SIGHUP)
			}
			ready.Add(1)
			group.Go(func() {
				code, err := j.Run(ctx)
				fmt.Println(i, kind, "code", code, "error", err)
			})
			ready.Wait() // the jobs start in this order
		}
		rotations++
		source.now.Store(bundleOf(delivered("KEY", fmt.Sprintf("value-%d-of-key", rotations), bundle.DeliverFile)))
		if _, err := client.Refresh(ctx); err != nil {
			return 97
		}
		group.Wait()
	}
	fmt.Println("runner: done")
	return 0
}

// lineWriter prints lines after a prefix, and calls ready at the first one.
type lineWriter struct {
	prefix string
	ready  func()
	once   sync.Once
}

func (w *lineWriter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		fmt.Print(w.prefix, string(line))
	}
	w.once.Do(w.ready)
	return len(p), nil
}

// underNohup makes a command start as under nohup.
func underNohup(cmd *exec.Cmd) {
	cmd.Args = []string{"sh", "-c", `trap '' HUP; exec "$0"`, cmd.Path}
	cmd.Path = "/bin/sh"
}

// hangup exits with 31 at SIGHUP, which no shell can trap if it was ignored at the
// start, and with 32 if it gets none.
const hangup = `trap 'exit 31' HUP; echo ready; i=0; while [ $i -lt 30 ]; do sleep 0.01; i=$((i+1)); done; exit 32`

// kills exits with 33 if SIGHUP is ignored.
const kills = `echo ready; kill -HUP $$; exit 33`

// codes returns the lines with the codes of a runner's jobs.
func codes(t *testing.T, r *runner) []string {
	t.Helper()
	var codes []string
	for {
		line, err := r.lines.ReadString('\n')
		require.NoError(t, err)
		if line = strings.TrimRight(line, "\r\n"); line == "runner: done" {
			return codes
		}
		if strings.Contains(line, " code ") { // sh also reports that its child got the signal
			codes = append(codes, line)
		}
	}
}

func TestIgnored_Nohup(t *testing.T) {
	for name, steps := range map[string]string{
		"the first job":                       "hup",
		"a job after one that got it":         "hup;hup;hup",
		"a job after one that did not get it": "leave;hup",
		"jobs side by side":                   "hup hup",
		"a job beside others":                 "leave hup leave:terminal hup",
		"a job after one that catches it":     "leave:terminal;hup;hup:terminal",
	} {
		t.Run("reaches "+name, func(t *testing.T) {
			r := startRunner(t, hangup, underNohup, "SATCHEL_TEST_SIGNALS="+steps)
			for _, line := range codes(t, r) {
				want := "31"
				if strings.Contains(line, "leave") {
					want = "32"
				}
				require.Contains(t, line, " code "+want+" error <nil>")
			}
		})
	}

	t.Run("is the same with the program", func(t *testing.T) {
		nohup := testenv.Program(t, "nohup")
		r := startRunner(t, hangup, func(cmd *exec.Cmd) {
			cmd.Args = []string{"nohup", cmd.Path}
			cmd.Path = nohup
			cmd.Stderr = io.Discard
		}, "SATCHEL_TEST_SIGNALS=hup;hup hup")
		require.Len(t, codes(t, r), 3)
	})

	t.Run("gives each job in the background the default handling", func(t *testing.T) {
		for _, steps := range []string{"leave", "hup leave", "leave;hup;leave", "leave:terminal leave"} {
			r := startRunner(t, kills, underNohup, "SATCHEL_TEST_SIGNALS="+steps)
			for _, line := range codes(t, r) {
				require.Contains(t, line, " code 129 error <nil>", "%s: it does not depend on other jobs", steps)
			}
		}
	})

	t.Run("leaves the handling that the program has chosen", func(t *testing.T) {
		for _, steps := range []string{"ignore;hup:terminal;hangup", "ignore;leave:terminal;hangup", "ignore;hup leave hup:terminal;hangup;hup;hangup"} {
			r := startRunner(t, hangup, nil, "SATCHEL_TEST_SIGNALS="+steps)
			for _, line := range codes(t, r) {
				if strings.Contains(line, "hup") {
					require.Contains(t, line, " code 31 error <nil>", steps)
				}
			}
			require.Zero(t, r.ends(t).ExitStatus(), "%s: the program still ignores the signal", steps)
		}
	})
}
