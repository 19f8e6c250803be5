//go:build unix

package job

import (
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/satchelhq/satchel/bundle"
)

// caughtSignals returns the signals to forward to a job, or to survive.
func caughtSignals(terminal bool) []os.Signal {
	caught := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
	return slices.DeleteFunc(caught, func(sig os.Signal) bool {
		// In the terminal's foreground, a signal that is ignored, as under nohup, stays
		// ignored here and in the job, which inherits that. A signal that the program
		// ignores itself could not be restored.
		return ignored(sig) && (terminal || !ignoredFromStart(sig))
	})
}

// sentByTerminal reports whether a terminal sends sig to all its processes.
func sentByTerminal(sig os.Signal) bool {
	return sig == syscall.SIGINT || sig == syscall.SIGQUIT || sig == syscall.SIGHUP
}

// sentToLeader reports whether a terminal sends sig to this process alone: SIGHUP, when it
// is closed, to the leader of the session. A shell that leads it tells its jobs itself.
func sentToLeader(sig os.Signal) bool {
	session, err := unix.Getsid(0)
	return sig == syscall.SIGHUP && err == nil && session == os.Getpid()
}

// endsJob reports whether sig is meant to end the job.
func endsJob(sig os.Signal) bool { return sig == syscall.SIGTERM || sentByTerminal(sig) }

func signalNumber(sig os.Signal) (int, bool) {
	number, ok := sig.(syscall.Signal)
	return int(number), ok && number > 0
}

func numberedSignal(number int) syscall.Signal { return syscall.Signal(number) }

func checkRotateAction(a RotateAction) error {
	if a < Restart {
		return &bundle.Fault{Problem: "field {job.Job.OnRotate} has an invalid Signal", Setting: "job.Job.OnRotate", Fix: "use one such as syscall.SIGHUP"}
	}
	return nil
}

// hasTerminal reports whether this process has a controlling terminal.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

func send(p *os.Process, group bool, sig syscall.Signal) error {
	if group {
		return syscall.Kill(-p.Pid, sig)
	}
	return p.Signal(sig)
}

// resume lets a stopped job handle a signal that is to end it.
func (p *process) resume() { p.signal(syscall.SIGCONT) }
