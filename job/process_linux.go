package job

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// prepare makes the process die with this one, so that no program goes on with its
// output unmasked. It does not affect processes that the program starts.
func prepare(cmd *exec.Cmd, group bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: group, Pdeathsig: syscall.SIGKILL}
}

// awaitEnd returns when the process has ended. It does not reap the process: until
// then its PID, which is also the group's, is not reused.
func awaitEnd(cmd *exec.Cmd) {
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// notifyOrphans notifies c of the end of each child if this process has PID 1, which
// becomes the parent of orphans.
func notifyOrphans(c chan<- os.Signal) {
	if os.Getpid() == 1 {
		signal.Notify(c, syscall.SIGCHLD)
	}
}

// reapOrphans reaps the ended children of this process that are in the job's group,
// while the program runs. It leaves other children to the code that started them.
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

// childInfo is the layout of a unix.Siginfo about a child. The part that depends on
// the signal is aligned like a pointer.
type childInfo struct {
	_     [3]int32
	child struct {
		_   [0]uintptr
		pid int32
	}
}

// reapAll reaps the children of this process in the group, after the group was
// killed.
func (p *process) reapAll() {
	for {
		if _, err := unix.Wait4(-p.cmd.Process.Pid, nil, 0, nil); err != nil && err != unix.EINTR {
			return
		}
	}
}
