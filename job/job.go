package job

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
)

// A Source has the secrets of a job, as a *satchel.Client does.
type Source interface {
	// Bundle returns the secrets as they are now, and never nil. It is called by
	// several goroutines at once.
	Bundle() *bundle.Bundle
	// Changes yields after Bundle has come to return other secrets, until ctx is
	// done. Changes count from the call on, and not from the first iteration.
	Changes(ctx context.Context) iter.Seq[bundle.Diff]
}

// Job is a program to run with secrets. What it is given is masked in what it
// prints.
//
// A Job is nothing but its settings. Run may be called again, and by several
// goroutines at once if Stdin, Stdout and Stderr allow it: each call is a job of
// its own.
type Job struct {
	// Client has the secrets, usually a *satchel.Client. Rotations arrive while its
	// Run runs. Required.
	Client Source
	// Path is the program: a name to be looked up in the PATH of this process,
	// or a path, which if it is relative starts at Dir. Required.
	Path string
	// Args are the program's arguments, without its name. Anybody on the
	// machine can read them. Default: none.
	Args []string
	// Dir is the program's working directory. Default: that of this process.
	Dir string
	// Stdin is what the program reads. An *os.File is handed over as it is; any
	// other reader is copied, which [Restart] does not allow, and which goes
	// on after Run while a Read blocks. Default: nothing.
	Stdin io.Reader
	// Stdout and Stderr get what the program prints, masked. They may be the
	// same writer, which is then called by one goroutine at a time; the order
	// of lines from the two is then about that in which they were printed. Run
	// waits for their Write. Default: the output is dropped.
	Stdout, Stderr io.Writer

	// Secrets names what the job gets: each as the variable of that name, or,
	// where its delivery is bundle.DeliverFile, as the path of a private file in
	// NAME_FILE. Default: none.
	Secrets []string
	// Files names secrets that the job gets as files, as above, whatever their
	// delivery is: a .env cannot say it. They need not be in Secrets, and one that
	// is in both is a file only. One that is delivered by a broker is refused all
	// the same. Default: none.
	Files []string
	// AllowNames names variables that Secrets and Files may set although they mean
	// something to the loader, a shell, an interpreter or git, such as
	// HTTPS_PROXY. It may name more than this job uses. Default: none.
	AllowNames []string
	// PassEnv names the variables of this process that the job gets. An empty
	// list that is not nil passes none. Default: those of [DefaultPassEnv].
	PassEnv []string
	// Env are further variables, as "NAME=value". They win over those of
	// PassEnv, and secrets win over them. Default: none.
	Env []string

	// OnRotate is what happens when one of Secrets or Files changes. Default: Leave.
	OnRotate RotateAction
	// RestartDelay is how long [Restart] waits after a change, so that a
	// burst of rotations is one restart. A random time of up to as much again
	// is added, so that many runners do not restart at once. Default: 5 seconds.
	RestartDelay time.Duration
	// Grace is how long the program has to end after SIGTERM, before it is
	// killed. Default: 10 seconds.
	Grace time.Duration
	// Background makes the job a process group of its own even where there is a
	// controlling terminal, from which it cannot read then, and leaves to this
	// process the signals that reach it: for pools of jobs, which end by their
	// contexts. Default: false.
	Background bool
	// Logger gets a line for each restart and signal that a rotation causes, for
	// new secrets that are refused while the job runs, and for secrets that are
	// too short to be masked. It never gets a value. Default: slog.Default().
	Logger *slog.Logger
	// Redact are the settings of the masking. KeepFor has no effect: whatever
	// the job was given is masked to its end. Default: those of package redact.
	Redact redact.Options

	// Socket serves Secrets and Files, as they are at the time of each request, on a unix
	// socket whose path is in SATCHEL_SOCKET:
	//
	//	curl --unix-socket "$SATCHEL_SOCKET" http://satchel/secrets/NAME
	//
	// Default: false.
	Socket bool
	// Git are credentials that git in the job gets when it asks for them, as
	// they are then. Their secrets need not be in Secrets. Default: none.
	Git []GitCredential
	// GitHelper is the command that git runs to ask: a program that calls
	// [GitCredentialHelper], and its first arguments. Default: this executable
	// with the argument "git-credential".
	GitHelper []string
}

// RotateAction is what a [Job] does when one of its secrets changes: [Leave],
// [Restart] or a [Signal]. In each case the job's files get the new values,
// the socket serves them, and they are masked.
type RotateAction int

const (
	// Leave leaves the program as it is.
	Leave RotateAction = 0
	// Restart ends the program, as the end of the context does, and starts
	// it again with the new values. See [Job.RestartDelay].
	Restart RotateAction = -1

	unknownSignal RotateAction = -2
)

// Signal sends sig, such as syscall.SIGHUP, to the program when its files have
// the new values, and to the other processes of its group. A variable cannot
// change in a running program: use it with files or the socket. Windows has no
// signals, and Run refuses it there.
func Signal(sig os.Signal) RotateAction {
	if number, ok := signalNumber(sig); ok {
		return RotateAction(number)
	}
	return unknownSignal
}

// String returns the name, such as "restart" or "signal hangup".
func (a RotateAction) String() string {
	switch {
	case a == Leave:
		return "leave"
	case a == Restart:
		return "restart"
	case a > 0:
		return fmt.Sprintf("signal %s", numberedSignal(int(a)))
	}
	return "unknown signal"
}

// Run runs the job and returns its exit code when it and what it started have
// ended and all output is passed on: the program's own code, or 128 and the
// number of the signal that killed it, whatever that was.
//
// The error is nil if the job ran, whatever its code; else it says why the job
// did not start. The code is then 127 if there is no such program, 126 if it
// cannot be executed, and otherwise -1. Two things make an error beside the
// job's own code: output that could not be written, and files of the job that
// could not be removed.
//
// Before anything starts Run refuses, naming the variables and no value: secrets
// that the bundle does not have (a [*bundle.MissingError] with all of them), names that
// are not allowed (see AllowNames), what holds a runner token, and what is too
// large for the system. A restart that would be refused does not happen: the
// program keeps what it has, and the log says so.
//
// While it runs, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 that reach
// this process do not end it but go on to the job, unless that is in the
// Background. Where there is no controlling terminal the job is a process group of
// its own and the whole group gets them. Where there is one, the job stays in the
// terminal's foreground, the terminal itself sends SIGINT, SIGQUIT and SIGHUP, and
// only the others are passed on, to the program alone.
//
// When ctx ends the job gets SIGTERM, and after Grace SIGKILL. When the program
// has ended, what is left of its group can write for another second, or for the
// rest of Grace if it was told to end, and is then killed.
func (j Job) Run(ctx context.Context) (code int, err error) {
	r, err := newRun(ctx, j)
	if err != nil {
		return -1, fmt.Errorf("running the job: %w", err)
	}
	code, err = r.run(ctx)
	if err != nil {
		err = fmt.Errorf("running the job: %w", err)
	}
	return code, err
}
