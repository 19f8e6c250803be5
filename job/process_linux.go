package job

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// prepare makes the process die with this one, which without it would leave a
// program running that nobody masks. It does not reach what the program starts.
func prepare(cmd *exec.Cmd, group bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: group, Pdeathsig: syscall.SIGKILL}
}

// awaitEnd returns when the process has ended. It leaves it to be waited for: as
// long as it is there its number, which is the group's, is nobody else's.
func awaitEnd(cmd *exec.Cmd) {
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// notifyOrphans tells c when a child has ended, if this process is the first one,
// to which the system gives the children of processes that have ended.
func notifyOrphans(c chan<- os.Signal) {
	if os.Getpid() == 1 {
		signal.Notify(c, syscall.SIGCHLD)
	}
}

// reapOrphans waits for the children of this process that are in the job's group
// and have ended, while the program runs. It leaves all others to whoever started
// them.
func (p *process) reapOrphans() {
	for p.group {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PGID, p.cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		pid := int((*childInfo)(unsafe.Pointer(&info)).child.pid)
		if err != nil || pid == 0 || pid == p.cmd.Process.Pid {
			return // the program itself has ended: see finish
		}
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// childInfo is what a unix.Siginfo holds about a child. The part that depends on
// the kind of signal is aligned like a pointer.
type childInfo struct {
	_     [3]int32
	child struct {
		_   [0]uintptr
		pid int32
	}
}

// reapAll waits for those that the group leaves to this process, when all of it
// was killed.
func (p *process) reapAll() {
	for {
		if _, err := unix.Wait4(-p.cmd.Process.Pid, nil, 0, nil); err != nil && err != unix.EINTR {
			return
		}
	}
}
