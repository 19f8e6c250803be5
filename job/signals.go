package job

import (
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
)

// ignoredAtStart tells by number which signals this process ignored when it started.
// Package signal forgets that once a signal was caught, although the signal is
// ignored again after [signal.Stop].
var ignoredAtStart = func() (numbers [65]bool) {
	for n := range numbers {
		numbers[n] = n > 0 && signal.Ignored(syscall.Signal(n))
	}
	return numbers
}()

// ignoredFromStart reports whether this process ignored sig when it started, as under
// nohup.
func ignoredFromStart(sig os.Signal) bool {
	number, ok := signalNumber(sig)
	return ok && number < len(ignoredAtStart) && ignoredAtStart[number]
}

// ignored reports whether this process ignores sig unless a job catches it. Programs
// that it starts inherit that.
func ignored(sig os.Signal) bool { return signal.Ignored(sig) || ignoredFromStart(sig) }

// reset returns the ignored signals that the job's processes must not ignore: a shell
// cannot trap a signal that was ignored when it started. A job with its own group gets
// no signals from the terminal, and one in the terminal's foreground must survive its
// end under nohup.
func (r *run) reset() []os.Signal {
	var reset []os.Signal
	if !r.terminal {
		reset = []os.Signal{syscall.SIGHUP, syscall.SIGINT}
	}
	if r.OnRotate > 0 {
		reset = append(reset, numberedSignal(int(r.OnRotate)))
	}
	return slices.DeleteFunc(reset, func(sig os.Signal) bool { return !ignored(sig) })
}

// starting is held for writing while a process starts for which signals are caught:
// other processes that start at the same time would not ignore them either. Usually no
// signal is ignored, and processes start concurrently.
var starting sync.RWMutex

// startWith calls start, which starts a process, with the default handling of the
// signals in reset, which this process ignores. It does not depend on other jobs, and
// changes nothing for them.
func startWith(reset []os.Signal, start func() error) error {
	if len(reset) == 0 {
		starting.RLock()
		defer starting.RUnlock()
		return start()
	}
	starting.Lock()
	defer starting.Unlock()
	for _, sig := range reset {
		byProgram := signal.Ignored(sig) && !ignoredFromStart(sig)
		caught := make(chan os.Signal, 1) // not read: this process goes on ignoring it
		signal.Notify(caught, sig)
		defer func() {
			signal.Stop(caught)
			if byProgram {
				signal.Ignore(sig)
			}
		}()
	}
	return start()
}
