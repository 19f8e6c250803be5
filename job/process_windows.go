package job

import (
	"os"
	"os/exec"
	"syscall"

	"github.com/satchelhq/satchel/bundle"
)

// caughtSignals returns the signal of Ctrl-C: the console sends it to the job too,
// and this process must survive it.
func caughtSignals(bool) []os.Signal { return []os.Signal{os.Interrupt} }

func sentByTerminal(sig os.Signal) bool { return sig == os.Interrupt }

func sentToLeader(os.Signal) bool { return false }

func endsJob(sig os.Signal) bool { return sentByTerminal(sig) }

func signalNumber(sig os.Signal) (int, bool) {
	number, ok := sig.(syscall.Signal)
	return int(number), ok && number > 0
}

func numberedSignal(number int) syscall.Signal { return syscall.Signal(number) }

func checkRotateAction(a RotateAction) error {
	if a != Leave && a != Restart {
		return &bundle.Fault{
			Problem: "field {job.Job.OnRotate} is a Signal, and Windows has no signals",
			Setting: "job.Job.OnRotate", Fix: "use Restart, or files or the socket with Leave",
		}
	}
	return nil
}

// hasTerminal returns true, so that the job stays in this process's group: in
// another one, it would not get Ctrl-C.
func hasTerminal() bool { return true }

// send kills the process for any signal, since Windows has no signals.
func send(p *os.Process, _ bool, _ syscall.Signal) error { return p.Kill() }

func (p *process) resume() {}

func prepare(*exec.Cmd, bool) {}

// inheritNothing does nothing: a process inherits only its standard handles.
func inheritNothing(*exec.Cmd) {}

// awaitEnd returns when the process has ended.
func awaitEnd(cmd *exec.Cmd) { _ = cmd.Wait() }

func notifyOrphans(chan<- os.Signal) {}

func (p *process) reapOrphans() {}

func (p *process) reapAll() {}
