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

// A Source provides the secrets of a job. A *satchel.Client is a Source.
//
// All values of Bundle are masked in the output of jobs. If the Source also has the
// method Mask of a *satchel.Client, that supplies the values to mask.
type Source interface {
	// Bundle returns the current secrets, never nil. It must be safe for concurrent
	// use.
	Bundle() *bundle.Bundle
	// Changes yields after each change of the secrets that Bundle returns, until ctx
	// is done. It reports changes from the call on, not only from the first
	// iteration.
	Changes(ctx context.Context) iter.Seq[bundle.Diff]
}

// Job is a program to run with secrets. Its output is masked: all values that Client
// has or had since Run was called, given to the job or not, and everything that has the
// form of a platform's token.
//
// A Job has settings only and no state. Run may be called repeatedly, and
// concurrently if Stdin, Stdout and Stderr allow it: each call is a separate job.
type Job struct {
	// Client provides the secrets. It is usually a *satchel.Client, which gets
	// rotations while its Run is active. Required.
	Client Source
	// Path is the program: a name to look up in the PATH of this process, or a path.
	// A relative path is relative to Dir. Required.
	Path string
	// Args are the program's arguments, without its name. Every user of the machine
	// can read them. Default: none.
	Args []string
	// Dir is the program's working directory. Default: that of this process.
	Dir string
	// OwnDir makes a new, empty directory the program's working directory. It is in the
	// directory for temporary files, only this user can enter it, and it is removed with
	// its content when the job has ended; a [Restart] keeps it. Dir must be empty.
	// Default: false.
	OwnDir bool
	// Stdin is the program's standard input. An *os.File is passed on directly. Any
	// other reader is copied; [Restart] does not allow that, and the copying may
	// outlast Run while a Read blocks. Default: no input.
	Stdin io.Reader
	// Stdout gets the program's masked standard output. Run waits for its Write.
	// Default: the output is dropped.
	Stdout io.Writer
	// Stderr gets the program's masked standard error. It may be the same writer as
	// Stdout: its calls then do not overlap, and the order of lines from the two
	// streams is approximate. Default: the output is dropped.
	Stderr io.Writer

	// Secrets names the secrets of the job. Each is passed in the variable of that
	// name or, if its delivery is bundle.DeliverFile, in a private file whose path is
	// in NAME_FILE. Default: none.
	Secrets []string
	// Files names secrets that the job gets as files, as above, regardless of their
	// delivery, which a .env cannot specify. They need not be in Secrets; a secret in
	// both is a file only. Secrets delivered by a broker are still refused.
	// Default: none.
	Files []string
	// AllowNames names variables that Secrets and Files may set although they affect
	// the loader, a shell, an interpreter or git, such as HTTPS_PROXY. Names that the
	// job does not use are ignored. Default: none.
	AllowNames []string
	// PassEnv names the variables of this process that the job gets. An empty list
	// that is not nil passes none. Default: those of [DefaultPassEnv].
	PassEnv []string
	// Env are further variables, as "NAME=value". They override those of PassEnv, and
	// secrets override them. Default: none.
	Env []string

	// OnRotate is the action when one of Secrets or Files changes. Default: Leave.
	OnRotate RotateAction
	// RestartDelay is the minimum time from a change to a [Restart], so that a burst
	// of rotations causes one restart. Up to the same time is added at random, so
	// that many runners do not restart simultaneously. Default: 5 seconds.
	RestartDelay time.Duration
	// Grace is the time between SIGTERM and SIGKILL. Default: 10 seconds.
	Grace time.Duration
	// Background makes the job a separate process group even if there is a
	// controlling terminal, from which it then cannot read. Signals to this process
	// are not forwarded. Use it for pools of jobs that their contexts end, and handle
	// SIGHUP, SIGINT, SIGQUIT and SIGTERM: those that are not handled end this process,
	// and with it the jobs.
	// Default: false.
	Background bool
	// Logger gets a line for each restart and signal that a rotation causes, for new
	// secrets that are refused while the job runs, for secrets that are too short to
	// mask, for output that cannot be written, and for removed files of killed runners.
	// It never gets a value. Default: slog.Default().
	Logger *slog.Logger
	// Redact has the settings of the masking. KeepFor has no effect: old values stay
	// masked until the job ends. Default: those of package redact.
	Redact redact.Options

	// Socket serves the current values of Secrets and Files on a unix socket, whose
	// path is in SATCHEL_SOCKET:
	//
	//	curl --unix-socket "$SATCHEL_SOCKET" http://satchel/secrets/NAME
	//
	// Default: false.
	Socket bool
	// Git are credentials for git in the job, which gets the current value whenever
	// it needs a password. Their secrets need not be in Secrets. Default: none.
	Git []GitCredential
	// GitHelper is the command that git runs to get a password: a program that calls
	// [GitCredentialHelper], and its first arguments. Default: this executable with
	// the argument "git-credential".
	GitHelper []string
}

// RotateAction is the action of a [Job] when one of its secrets changes: [Leave],
// [Restart] or a [Signal]. With each of them, the job's files get the new values,
// the socket serves them, and they are masked.
type RotateAction int

const (
	// Leave does nothing to the program.
	Leave RotateAction = 0
	// Restart terminates the program, as the end of the context does, and starts it
	// again with the new values. See [Job.RestartDelay].
	Restart RotateAction = -1

	unknownSignal RotateAction = -2
)

// Signal sends sig, such as syscall.SIGHUP, to the program and the other processes
// of its group, after its files have the new values. Variables of a running program
// do not change, so use it with files or the socket. Run refuses a sig that is not a
// syscall.Signal, and any Signal on Windows.
func Signal(sig os.Signal) RotateAction {
	if number, ok := signalNumber(sig); ok {
		return RotateAction(number)
	}
	return unknownSignal
}

// String returns the name of the action, such as "restart" or "signal hangup".
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

// Run runs the job and returns its exit code. It returns when the program and its
// process group have ended and all output has been written. The code is the
// program's exit code, or 128 plus the number of the signal that killed it. The program
// inherits the descriptors 0, 1 and 2 only, on Windows the standard handles.
//
// The error is nil if the job ran, whatever its code. If the job did not start, the
// error tells why, and the code is 127 if the program was not found, 126 if it cannot
// be executed, and -1 otherwise. Output that could not be written, and files of the
// job that could not be removed, are errors returned with the job's code.
//
// Before anything starts, Run refuses secrets that the bundle lacks (with a
// [*bundle.MissingError] that has all of them), names that are not allowed (see
// AllowNames), anything that contains a runner token, and anything too large for the
// system. The errors name variables and contain no values. A restart that would be
// refused does not happen: the program keeps its values, and the refusal is logged.
//
// Unless the job is in the Background, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and
// SIGUSR2 do not end this process while the job runs, and are forwarded to the job.
// Without a controlling terminal, the job is a separate process group, and the
// group gets the signals. With one, the job stays in the terminal's foreground. The
// terminal sends SIGINT, SIGQUIT and SIGHUP itself; Run forwards the others to the
// program alone. A signal that the program ignores with [signal.Ignore] is not caught.
//
// When ctx is done, the job gets SIGTERM, and SIGKILL after Grace. When the program
// has ended, the rest of its group can write for another second, or for the rest of
// Grace if the job was terminated; then it is killed.
//
// If this process dies before Run returns, a child process, the guard, kills the job and
// its group and removes its files, except on Windows. The guard is /bin/sh; without it,
// only the program dies, and only on Linux. Run removes the directories of earlier jobs
// of this user whose runners and guards were killed.
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
