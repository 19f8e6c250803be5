package job

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

const (
	// leftoverTime is how long what a program leaves behind can write.
	leftoverTime = time.Second
	// sameEvent is how far apart a signal and the end of a context can be that
	// comes of it.
	sameEvent = time.Second
)

// process is one process of a job, with what it starts.
type process struct {
	cmd   *exec.Cmd
	plan  plan
	pipes []*pipe
	// stdin is this end of the pipe to the process, and fed is closed when all of
	// Stdin is copied; both are nil where there is nothing to copy.
	stdin *os.File
	fed   chan struct{}
	// group says that it is a process group of its own.
	group bool
	// ended is closed when the program has ended. Where the system allows it,
	// the process still has its number then: see awaitEnd.
	ended chan struct{}

	forwarded time.Time // when SIGTERM was last passed on, or zero
	killAt    time.Time // the end of its grace, if it was told to end
}

// start starts a process of the job.
func (r *run) start(plan plan) (*process, error) {
	if r.Dir != "" {
		// exec would blame the program.
		if info, err := os.Stat(r.Dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("the working directory %s is no directory that can be entered", r.Dir)
		}
	}
	cmd := exec.Command(r.Path, r.Args...)
	cmd.Dir, cmd.Env = r.Dir, plan.env
	p := &process{cmd: cmd, plan: plan, group: !r.terminal, ended: make(chan struct{})}
	prepare(cmd, p.group)
	theirs, err := p.connect(r)
	if err == nil {
		err = p.begin()
	}
	for _, f := range theirs {
		_ = f.Close() // the process has its own, and the others read to the end
	}
	if err != nil {
		for _, pipe := range p.pipes {
			<-pipe.done
		}
		p.endStdin()
		return nil, err
	}
	return p, nil
}

// connect sets the standard files, and returns those to be closed when the
// process has them.
func (p *process) connect(r *run) (theirs []*os.File, err error) {
	files := [2]*os.File{}
	for i, s := range r.streams {
		if s.Writer == nil {
			continue
		}
		pipe, w, err := newPipe(s)
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
			return theirs, fmt.Errorf("making a pipe for the job's stdin: %w", err)
		}
		p.cmd.Stdin, theirs = theirEnd, append(theirs, theirEnd)
		p.stdin, p.fed = ourEnd, make(chan struct{})
		go func() {
			defer close(p.fed)
			_, _ = io.Copy(ourEnd, r.Stdin) // a program need not read it all
			_ = ourEnd.Close()
		}()
	}
	return theirs, nil
}

// endStdin ends the copying of Stdin. It waits only a little: a Read that blocks
// cannot be ended.
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

// begin starts the process and a goroutine that waits for its end. The process
// dies with the thread that starts it where the system can see to that, so it is
// the same goroutine that does both, on one thread.
func (p *process) begin() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			awaitEnd(p.cmd)
			close(p.ended)
		}
	}()
	return <-started
}

// startCode returns the exit code for a job that did not start, as shells have
// it.
func startCode(err error) int {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return 127
	case errors.Is(err, exec.ErrDot), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return 126
	}
	return -1
}

// ignoredAtStart has the signals that this process ignored when it started, by
// number. Package signal forgets that as soon as a signal was caught once, although
// the signal is ignored again after [signal.Stop].
var ignoredAtStart = func() (numbers [65]bool) {
	for n := range numbers {
		numbers[n] = n > 0 && signal.Ignored(syscall.Signal(n))
	}
	return numbers
}()

// ignored reports whether this process ignores sig, as under nohup, and a program
// that it starts would too.
func ignored(sig os.Signal) bool {
	number, ok := signalNumber(sig)
	return signal.Ignored(sig) || ok && number < len(ignoredAtStart) && ignoredAtStart[number]
}

// signal sends sig to the process group, or where there is none, the process.
func (p *process) signal(sig syscall.Signal) {
	// It fails if the process has just ended, which is seen elsewhere.
	_ = send(p.cmd.Process, p.group, sig)
}

// forward passes on a signal that this process got, and reports whether the job
// now has it. What the terminal sends, the job has got by itself.
func (p *process) forward(sig os.Signal) bool {
	number, ok := signalNumber(sig)
	if !ok || sentByTerminal(sig) && !p.group {
		return ok
	}
	if number == int(syscall.SIGTERM) {
		if !p.killAt.IsZero() {
			return true // it was told, and will be killed
		}
		p.forwarded = time.Now()
	}
	p.signal(syscall.Signal(number))
	return true
}

// terminate tells the job to end, unless a signal has just done so. The caller
// kills it when its grace is over.
func (p *process) terminate(grace time.Duration) {
	now := time.Now()
	p.killAt = now.Add(grace)
	if p.forwarded.IsZero() || now.Sub(p.forwarded) > sameEvent {
		p.signal(syscall.SIGTERM)
	}
}

// kill ends the process, and the others of its group.
func (p *process) kill() { p.signal(syscall.SIGKILL) }

// finish ends what is left of the process when the program has ended, and returns
// its exit code.
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
	if !closed { // somebody who has left the group has the pipe
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
	if p.cmd.ProcessState == nil { // else the error is that code, or that Wait was called before
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

// exitCode returns the program's code, or 128 and the signal that killed it.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
