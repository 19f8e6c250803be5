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

// awaitEnd returns when the process has ended. There is no way here to learn of
// that and leave the process to be waited for.
func awaitEnd(cmd *exec.Cmd) { _ = cmd.Wait() }

// notifyOrphans does nothing: the first process of a system or a container is
// never one of ours here.
func notifyOrphans(chan<- os.Signal) {}

func (p *process) reapOrphans() {}

func (p *process) reapAll() {}
