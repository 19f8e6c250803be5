//go:build unix

package job

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// guard is a process that ends a job and removes its directory if this process dies
// without doing so: of a signal that no code handles, such as SIGKILL, of a panic, or of
// os.Exit. It is a shell that waits for the end of a pipe, whose other end only this
// process has. A nil guard does nothing.
type guard struct {
	cmd  *exec.Cmd
	pipe *os.File
}

// guardScript reads the directories to remove, and the current process: a PID, or a
// group after a minus sign.
const guardScript = `trap '' HUP INT QUIT TERM USR1 USR2
process=
while IFS= read -r line; do
	case $line in
	directory=*) set -- "$@" "${line#*=}" ;;
	process=*) process=${line#*=} ;;
	esac
done
[ -z "$process" ] || kill -KILL "$process"
[ $# -eq 0 ] || rm -rf -- "$@" || { chmod -R u+rwx -- "$@"; rm -rf -- "$@"; }`

// startGuard starts a guard. Without a shell, it returns nil: the next job's sweep then
// removes the directory.
func startGuard(log *slog.Logger) *guard {
	theirs, ours, err := os.Pipe()
	if err != nil {
		log.Debug("cannot guard the job against the end of this process", "error", err)
		return nil
	}
	defer theirs.Close()
	g := &guard{cmd: exec.Command("/bin/sh", "-c", guardScript, "satchel-job-guard"), pipe: ours}
	g.cmd.Stdin, g.cmd.Dir, g.cmd.Env = theirs, "/", []string{"PATH=" + os.Getenv("PATH")}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of the terminal's signals
	inheritNothing(g.cmd)
	if err := g.cmd.Start(); err != nil {
		_ = ours.Close()
		log.Debug("cannot guard the job against the end of this process", "error", err)
		return nil
	}
	return g
}

// directory adds a directory to remove.
func (g *guard) directory(path string) {
	if !strings.Contains(path, "\n") {
		g.tell("directory=" + path)
	}
}

// process sets the process to kill, with its group if it leads one. A nil p means none.
func (g *guard) process(p *process) {
	switch {
	case p == nil:
		g.tell("process=")
	case p.group:
		g.tell(fmt.Sprintf("process=-%d", p.cmd.Process.Pid))
	default:
		g.tell(fmt.Sprintf("process=%d", p.cmd.Process.Pid))
	}
}

func (g *guard) tell(line string) {
	if g != nil {
		_, _ = g.pipe.WriteString(line + "\n") // fails if another process killed the guard
	}
}

// end ends the guard, after the job has ended and its directory is removed.
func (g *guard) end() {
	if g == nil {
		return
	}
	_ = g.cmd.Process.Kill() // before the end of the pipe, at which it would act
	_ = g.cmd.Wait()
	_ = g.pipe.Close() // nothing that is written to it matters now
}
