package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
	"github.com/satchelhq/satchel/job/internal/socket"
)

// run is one call of Job.Run.
type run struct {
	Job               // with defaults; Secrets includes Files
	plain environment // variables that are not secrets
	// names are the secrets that the job can get in any way, without duplicates.
	names    []string
	limits   execLimits
	terminal bool // the job stays in the terminal's foreground

	redactor *redact.Redactor
	streams  [2]stream
	dir      dir
	own      dir // of OwnDir
	guard    *guard
	socket   *socket.Server
	served   environment // of the socket and git

	signals chan os.Signal
	orphans chan os.Signal // a child of this process may have ended
	moved   chan struct{}  // the client's secrets have changed
	// plan is for the next process.
	plan plan
	// refusal is why the client's bundle was refused, so that this is logged once.
	refusal string

	mu     sync.Mutex
	masked map[string]bundle.Value // last masked values, by name
	short  map[string]bool         // secrets too short to mask
}

// newRun checks everything that can be checked without a secret.
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
			Problem: fmt.Sprintf("field {job.Job.Grace} is %s and {job.Job.RestartDelay} is %s", j.Grace, j.RestartDelay),
			Setting: setting, Fix: "use positive durations, or zero for the default",
		}
	}
	if j.OwnDir && j.Dir != "" {
		return nil, &bundle.Fault{Problem: "both {job.Job.Dir} and {job.Job.OwnDir} are set", Setting: "job.Job.Dir", Fix: "set one of them"}
	}
	if err := checkRotateAction(j.OnRotate); err != nil {
		return nil, err
	}
	if _, file := j.Stdin.(*os.File); j.OnRotate == Restart && j.Stdin != nil && !file {
		return nil, &bundle.Fault{
			Problem: "field {job.Job.Stdin} can be read only once, and Restart may start the program again",
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
	masking := j.Redact
	masking.KeepFor = math.MaxInt64 // longer than any job
	r := &run{
		Job: j, plain: plain, limits: systemLimits(), terminal: !j.Background && hasTerminal(),
		redactor: redact.NewWithOptions(&masking),
		signals:  make(chan os.Signal, 16), orphans: make(chan os.Signal, 1), moved: make(chan struct{}, 1),
		masked: map[string]bundle.Value{}, short: map[string]bool{},
	}
	r.names = distinct(slices.Concat(j.Secrets, gitSecrets(j.Git)))
	r.streams = newStreams(r.redactor, j.Stdout, j.Stderr)
	return r, ctx.Err()
}

// distinct returns the names without duplicates.
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

// run runs the job from the first process to the last, and releases everything.
func (r *run) run(ctx context.Context) (code int, err error) {
	// Otherwise, a write to a closed pipe at standard output or standard error would end
	// this process, with the job and its files left behind.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	if !r.Background {
		signal.Notify(r.signals, caughtSignals(r.terminal)...)
		defer signal.Stop(r.signals)
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

	sweep(r.Logger)
	r.guard = startGuard(r.Logger)
	defer r.guard.end()
	defer func() { err = r.close(err) }()
	if r.OwnDir {
		if err := r.own.open(os.TempDir()); err != nil {
			return -1, err
		}
		r.guard.directory(r.own.path)
		r.Dir = r.own.path
	}
	if err := r.update(); err != nil {
		return -1, err
	}
	if c, ok := r.Client.(masker); ok {
		defer c.Mask(r.redactor)()
	}
	for {
		p, err := r.start(r.plan)
		if err != nil {
			return startCode(err), err
		}
		again, code, err := r.oversee(ctx, p)
		if err == nil {
			err = r.flush()
		}
		if !again || err != nil {
			return code, err
		}
		// If this is refused, the previous plan is used: the program must not stay
		// down.
		r.refresh()
	}
}

// oversee attends a process to its end, and returns its exit code and whether to start
// the program again. Nothing of the process remains, even if the client panics.
func (r *run) oversee(ctx context.Context, p *process) (again bool, code int, err error) {
	attended := false
	defer func() {
		if !attended {
			p.kill()
		}
		code, err = p.finish()
		r.guard.process(nil)
	}()
	again = r.attend(ctx, p)
	attended = true
	return again, 0, nil
}

// close releases everything of the job, and adds its errors to err.
func (r *run) close(err error) error {
	if r.socket != nil {
		err = errors.Join(err, r.socket.Close())
	}
	for _, s := range r.streams {
		if s.Writer == nil {
			continue
		}
		if e := s.Close(); err == nil && e != nil { // otherwise it is in err already
			err = s.failed(e)
		}
	}
	return errors.Join(err, r.dir.remove(), r.own.remove())
}

// flush writes the output that the streams hold back, after the end of a process:
// the output of the next one does not continue it.
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

// attend handles the events of a process until it ends, and reports whether to start
// the program again.
func (r *run) attend(ctx context.Context, p *process) (again bool) {
	var due, lost, kill <-chan time.Time
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
		case <-p.lost:
			// The program's next write fails, so that it can end by itself.
			lost = time.After(leftoverTime)
		case <-lost:
			r.Logger.Warn("ending the job: its output cannot be written", "path", r.Path)
			end()
		case <-kill:
			p.kill()
		case sig := <-r.signals:
			if p.forward(sig) && endsJob(sig) {
				again = false // the signal is meant to end the job
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

// applyRotation sends the signal of OnRotate to a running program, or reports
// whether to restart it.
func (r *run) applyRotation(p *process) (restart bool) {
	if r.OnRotate == Restart {
		return r.wantsRestart(p)
	}
	if r.OnRotate > 0 && r.outdated(p) {
		sig := numberedSignal(int(r.OnRotate))
		r.Logger.Info("signaling the job: its secrets have changed", "path", r.Path, "signal", sig.String())
		p.signal(sig)
		p.plan = r.plan // the program was notified
	}
	return false
}

// wantsRestart reports whether the process lacks a change and may be restarted for
// it. A process that was sent SIGTERM is ending and is not replaced.
func (r *run) wantsRestart(p *process) bool { return p.forwarded.IsZero() && r.outdated(p) }

// outdated reports whether the plan has other secrets than the process.
func (r *run) outdated(p *process) bool { return changed(p.plan.bundle, r.plan.bundle, r.Secrets) }

// changed reports whether one of names differs. Without names it returns false.
func changed(old, new *bundle.Bundle, names []string) bool {
	return len(names) > 0 && bundle.Compare(old, new).Touches(names...)
}

// refresh is update for a running job: a refusal is logged, and the job keeps its
// secrets. It reports whether update succeeded.
func (r *run) refresh() bool {
	err := r.update()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != r.refusal {
		r.Logger.Warn("the new secrets are refused; the job keeps the current ones", "path", r.Path, "error", err)
	}
	r.refusal = text
	return err == nil
}
