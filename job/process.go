package job

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	// leftoverTime is how long the rest of the process group can write after the end
	// of the program, and how long a program can run whose output is lost.
	leftoverTime = time.Second
	// sameEvent is the maximum time between a signal and the end of a context that
	// the signal causes.
	sameEvent = time.Second
)

// process is one process of a job, with its group.
type process struct {
	cmd   *exec.Cmd
	plan  plan
	pipes []*pipe
	// lost is signaled when output of the process cannot be written.
	lost chan struct{}
	// stdin is this end of the pipe to the process, and fed is closed when all of
	// Stdin is copied; both are nil if there is nothing to copy.
	stdin *os.File
	fed   chan struct{}
	// group means that the process leads its own process group.
	group bool
	// ended is closed when the program has ended. If the system allows it, the
	// process then still has its PID: see awaitEnd.
	ended chan struct{}

	forwarded time.Time // when SIGTERM was last forwarded, or zero
	killAt    time.Time // the end of the grace period, if the job was terminated
}

// start starts a process of the job.
func (r *run) start(plan plan) (*process, error) {
	if r.Dir != "" {
		// Without this check, the error of exec names the program.
		if info, err := os.Stat(r.Dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("the working directory %s is not an accessible directory", r.Dir)
		}
	}
	cmd := exec.Command(r.Path, r.Args...)
	cmd.Dir, cmd.Env = r.Dir, plan.env
	p := &process{cmd: cmd, plan: plan, group: !r.terminal, lost: make(chan struct{}, 1), ended: make(chan struct{})}
	prepare(cmd, p.group)
	theirs, err := p.connect(r)
	if err == nil {
		err = p.begin(r.reset())
	}
	if err == nil {
		// Before any output: then the guard knows the process whenever others do.
		r.guard.process(p)
	}
	for _, f := range theirs {
		_ = f.Close() // the process has its own copy, and readers wait for the end
	}
	if err != nil {
		for _, pipe := range p.pipes {
			_ = pipe.r.Close()
		}
		p.endStdin()
		return nil, err
	}
	for _, pipe := range p.pipes {
		go pipe.copy()
	}
	return p, nil
}

// connect sets the standard files. It returns the files to close once the process
// has them.
func (p *process) connect(r *run) (theirs []*os.File, err error) {
	files := [2]*os.File{}
	for i, s := range r.streams {
		if s.Writer == nil {
			continue
		}
		pipe, w, err := newPipe(s, p.lost)
		if err != nil {
			return theirs, err
		}
		p.pipes, theirs, files[i] = append(p.pipes, pipe), append(theirs, w), w
	}
	if files[0] != nil {
		p.cmd.Stdout = files[0]
	}
	if files[1] != nil {
		p.cmd.Stderr = files[1]
	}
	if file, ok := r.Stdin.(*os.File); ok {
		p.cmd.Stdin = file
	} else if r.Stdin != nil {
		theirEnd, ourEnd, err := os.Pipe()
		if err != nil {
			return theirs, fmt.Errorf("creating a pipe for the job's stdin: %w", err)
		}
		p.cmd.Stdin, theirs = theirEnd, append(theirs, theirEnd)
		p.stdin, p.fed = ourEnd, make(chan struct{})
		go func() {
			defer close(p.fed)
			_, _ = io.Copy(ourEnd, r.Stdin) // the program need not read all of it
			_ = ourEnd.Close()
		}()
	}
	return theirs, nil
}

// endStdin ends the copying of Stdin. It waits only briefly: a blocked Read cannot
// be ended.
func (p *process) endStdin() {
	if p.stdin == nil {
		return
	}
	_ = p.stdin.Close() // if it is not closed yet
	select {
	case <-p.fed:
	case <-time.After(100 * time.Millisecond):
	}
}

// begin starts the process and waits for its end in one goroutine, on one thread: on
// Linux, the process dies with the thread that started it. reset is as in startWith.
func (p *process) begin(reset []os.Signal) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := startWith(reset, func() error {
			inheritNothing(p.cmd)
			return p.cmd.Start()
		})
		started <- err
		if err == nil {
			awaitEnd(p.cmd)
			close(p.ended)
		}
	}()
	return <-started
}

// startCode returns the exit code for a job that did not start, as in shells.
func startCode(err error) int {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return 127
	case errors.Is(err, exec.ErrDot), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return 126
	}
	return -1
}

// signal sends sig to the process group, or to the process if it has no group.
func (p *process) signal(sig syscall.Signal) {
	// It fails if the process has just ended, which attend notices.
	_ = send(p.cmd.Process, p.group, sig)
}

// forward forwards a signal that this process got, and reports whether the job has
// it now. Signals from the terminal reach a job in its foreground directly.
func (p *process) forward(sig os.Signal) bool {
	number, ok := signalNumber(sig)
	if !ok || sentByTerminal(sig) && !p.group && !sentToLeader(sig) {
		return ok
	}
	if number == int(syscall.SIGTERM) {
		if !p.killAt.IsZero() {
			return true // it got SIGTERM, and is killed after its grace period
		}
		p.forwarded = time.Now()
	}
	p.signal(syscall.Signal(number))
	if endsJob(sig) {
		p.resume()
	}
	return true
}

// terminate sends SIGTERM to the job, unless it was just forwarded. The caller kills
// the job after the grace period.
func (p *process) terminate(grace time.Duration) {
	now := time.Now()
	p.killAt = now.Add(grace)
	if p.forwarded.IsZero() || now.Sub(p.forwarded) > sameEvent {
		p.signal(syscall.SIGTERM)
	}
	p.resume()
}

// kill kills the process and its group.
func (p *process) kill() { p.signal(syscall.SIGKILL) }

// finish ends the rest of the process group after the end of the program, and
// returns the program's exit code.
func (p *process) finish() (code int, err error) {
	leftover := leftoverTime
	if !p.killAt.IsZero() {
		leftover = max(leftover, time.Until(p.killAt))
	}
	closed := wait(p.pipes, leftover)
	if p.group {
		p.kill()
		closed = closed || wait(p.pipes, leftoverTime)
	}
	if !closed { // a process that has left the group has the pipe
		for _, pipe := range p.pipes {
			pipe.cut()
		}
	}
	var errs []error
	for _, pipe := range p.pipes {
		<-pipe.done
		errs = append(errs, pipe.err)
	}
	p.endStdin()
	err = p.cmd.Wait()
	if p.group {
		p.reapAll()
	}
	if p.cmd.ProcessState == nil { // otherwise err is the exit code, or a second Wait
		return -1, errors.Join(append(errs, fmt.Errorf("waiting for the program: %w", err))...)
	}
	return exitCode(p.cmd.ProcessState), errors.Join(errs...)
}

// wait reports whether all pipes are done within d.
func wait(pipes []*pipe, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for _, p := range pipes {
		select {
		case <-p.done:
		case <-timer.C:
			return false
		}
	}
	return true
}

// exitCode returns the program's code, or 128 plus the number of the signal that
// killed it.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
