//go:build unix && !linux

package job

import (
	"os"
	"os/exec"
	"syscall"
)

func prepare(cmd *exec.Cmd, group bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: group}
}

// awaitEnd returns when the process has ended. It also reaps the process, since
// these systems have no way to wait without that.
func awaitEnd(cmd *exec.Cmd) { _ = cmd.Wait() }

// notifyOrphans does nothing: on these systems, PID 1 is never a runner.
func notifyOrphans(chan<- os.Signal) {}

func (p *process) reapOrphans() {}

func (p *process) reapAll() {}
