package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
	"github.com/satchelhq/satchel/job/internal/socket"
)

// run is one call of Job.Run.
type run struct {
	Job               // complete; Secrets has Files too
	plain environment // what does not come from secrets
	// names are the secrets that the job can get in any way, without repeats.
	names    []string
	limits   execLimits
	terminal bool // the job stays in the terminal's foreground

	redactor *redact.Redactor
	streams  [2]stream
	dir      dir
	socket   *socket.Server
	served   environment // of the socket and git

	signals chan os.Signal
	orphans chan os.Signal // says that a child of this process may have ended
	moved   chan struct{}  // says that the client has other secrets
	// plan is what the next process is to get.
	plan plan
	// refusal is why the client's bundle makes no plan, so that it is logged once.
	refusal string

	mu     sync.Mutex
	masked map[string]bundle.Value // what was masked last, by name
	short  map[string]bool         // what could not be
}

// newRun checks what can be checked without a secret.
func newRun(ctx context.Context, j Job) (*run, error) {
	if v := reflect.ValueOf(j.Client); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, &bundle.Fault{Problem: "field {job.Job.Client} is nil", Setting: "job.Job.Client", Fix: "set it to the client that has the secrets"}
	}
	if j.Path == "" {
		return nil, &bundle.Fault{Problem: "field {job.Job.Path} is empty", Setting: "job.Job.Path", Fix: "set it to the program to run"}
	}
	if j.Grace < 0 || j.RestartDelay < 0 {
		setting := "job.Job.Grace"
		if j.Grace >= 0 {
			setting = "job.Job.RestartDelay"
		}
		return nil, &bundle.Fault{
			Problem: fmt.Sprintf("field {job.Job.Grace} is %s and {job.Job.RestartDelay} %s", j.Grace, j.RestartDelay),
			Setting: setting, Fix: "want positive durations, or zero for the default",
		}
	}
	if err := checkRotateAction(j.OnRotate); err != nil {
		return nil, err
	}
	if _, file := j.Stdin.(*os.File); j.OnRotate == Restart && j.Stdin != nil && !file {
		return nil, &bundle.Fault{
			Problem: "field {job.Job.Stdin} can be read once, and Restart may start the program again",
			Setting: "job.Job.Stdin", Fix: "use an *os.File, or another {job.Job.OnRotate}",
		}
	}
	if err := errors.Join(j.checkNames(), j.checkArgs()); err != nil {
		return nil, err
	}
	j.Secrets = distinct(slices.Concat(j.Secrets, j.Files))
	if j.PassEnv == nil {
		j.PassEnv = DefaultPassEnv()
	}
	if j.Logger == nil {
		j.Logger = slog.Default()
	}
	j.Grace = cmp.Or(j.Grace, 10*time.Second)
	j.RestartDelay = cmp.Or(j.RestartDelay, 5*time.Second)
	plain, err := j.plainEnvironment()
	if err != nil {
		return nil, err
	}
	r := &run{
		Job: j, plain: plain, limits: systemLimits(), terminal: !j.Background && hasTerminal(),
		redactor: redact.NewWithOptions(&j.Redact),
		signals:  make(chan os.Signal, 16), orphans: make(chan os.Signal, 1), moved: make(chan struct{}, 1),
		masked: map[string]bundle.Value{}, short: map[string]bool{},
	}
	r.names = distinct(slices.Concat(j.Secrets, gitSecrets(j.Git)))
	r.streams = newStreams(r.redactor, j.Stdout, j.Stderr)
	return r, ctx.Err()
}

// distinct returns the names without repeats.
func distinct(names []string) []string {
	var out []string
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func gitSecrets(creds []GitCredential) []string {
	var names []string
	for _, c := range creds {
		names = append(names, c.Secret)
	}
	return names
}

// run runs the job from the first process to the last, and leaves nothing.
func (r *run) run(ctx context.Context) (code int, err error) {
	if !r.Background {
		signal.Notify(r.signals, caughtSignals(r.terminal)...)
		defer signal.Stop(r.signals)
	}
	if sig := numberedSignal(int(r.OnRotate)); r.OnRotate > 0 && ignored(sig) {
		// As under nohup. A program cannot listen to what was ignored when it
		// started; this process goes on without heeding it.
		heard := make(chan os.Signal, 1)
		signal.Notify(heard, sig)
		defer signal.Stop(heard)
	}
	notifyOrphans(r.orphans)
	defer signal.Stop(r.orphans)

	watching, stop := context.WithCancel(ctx)
	changes := r.Client.Changes(watching)
	var group sync.WaitGroup
	group.Go(func() {
		for range changes {
			select {
			case r.moved <- struct{}{}:
			default:
			}
		}
	})
	defer group.Wait()
	defer stop()

	defer func() { err = r.close(err) }()
	if err := r.update(); err != nil {
		return -1, err
	}
	for {
		p, err := r.start(r.plan)
		if err != nil {
			return startCode(err), err
		}
		again := r.attend(ctx, p)
		code, err := p.finish()
		if err == nil {
			err = r.flush()
		}
		if !again || err != nil {
			return code, err
		}
		// If this is refused what was accepted before has to do: the program
		// must not stay away.
		r.refresh()
	}
}

// close leaves nothing of the job, and adds what fails to err.
func (r *run) close(err error) error {
	if r.socket != nil {
		err = errors.Join(err, r.socket.Close())
	}
	for _, s := range r.streams {
		if s.Writer == nil {
			continue
		}
		if e := s.Close(); err == nil && e != nil { // else it would be said twice
			err = s.failed(e)
		}
	}
	return errors.Join(err, r.dir.remove())
}

// flush passes on what the streams hold back, when a process has ended: what the
// next one writes does not continue it.
func (r *run) flush() error {
	for _, s := range r.streams {
		if s.Writer == nil {
			continue
		}
		if err := s.Flush(); err != nil {
			return s.failed(err)
		}
	}
	return nil
}

// attend looks after a process until it ends, and reports whether the job is to
// be started again.
func (r *run) attend(ctx context.Context, p *process) (again bool) {
	var due, kill <-chan time.Time
	end := func() {
		if kill == nil {
			p.terminate(r.Grace)
			kill = time.After(r.Grace)
		}
	}
	done := ctx.Done()
	for {
		select {
		case <-p.ended:
			return again && ctx.Err() == nil
		case <-done:
			done, again = nil, false
			end()
		case <-kill:
			p.kill()
		case sig := <-r.signals:
			if p.forward(sig) && endsJob(sig) {
				again = false // whoever sent it does not want the next process
			}
		case <-r.orphans:
			p.reapOrphans()
		case <-r.moved:
			if r.refresh() && r.applyRotation(p) && due == nil && !again {
				due = time.After(spread(r.RestartDelay))
			}
		case <-due:
			due = nil
			if again = r.refresh() && kill == nil && r.wantsRestart(p); again {
				r.Logger.Info("restarting the job: its secrets have changed", "path", r.Path)
				end()
			}
		}
	}
}

// spread returns a random time between delay and twice that.
func spread(delay time.Duration) time.Duration { return delay + rand.N(delay) }

// applyRotation does for a running program what OnRotate wants, and reports whether
// that is a restart.
func (r *run) applyRotation(p *process) (restart bool) {
	if r.OnRotate == Restart {
		return r.wantsRestart(p)
	}
	if r.OnRotate > 0 && r.outdated(p) {
		sig := numberedSignal(int(r.OnRotate))
		r.Logger.Info("signaling the job: its secrets have changed", "path", r.Path, "signal", sig.String())
		p.signal(sig)
		p.plan = r.plan // it was told
	}
	return false
}

// wantsRestart reports whether the process lacks a change and may go for it. One
// that was sent SIGTERM is on its way out: nobody wants the next.
func (r *run) wantsRestart(p *process) bool { return p.forwarded.IsZero() && r.outdated(p) }

// outdated reports whether the plan has other secrets than the process got.
func (r *run) outdated(p *process) bool { return changed(p.plan.bundle, r.plan.bundle, r.Secrets) }

// changed reports whether one of names, of which there may be none, differs.
func changed(old, new *bundle.Bundle, names []string) bool {
	return len(names) > 0 && bundle.Compare(old, new).Touches(names...)
}

// refresh is update for a job that runs: what is refused is logged, and the job
// keeps what it has. It reports whether nothing was refused.
func (r *run) refresh() bool {
	err := r.update()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != r.refusal {
		r.Logger.Warn("the job keeps the secrets that it has: the new ones are refused", "path", r.Path, "error", err)
	}
	r.refusal = text
	return err == nil
}
