package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

const serveHelp = `Serve takes jobs from a folder, or from standard input with --stdin, and runs several
concurrently. Each gets the secrets that it names and no others. A job is JSON:

  {"command": ["make", "deploy"], "secrets": ["DEPLOY_TOKEN"]}

It may also have "env" (an object of plain variables), "dir", "on_rotate" ("leave",
"restart" or the name of a signal such as "HUP") and, on standard input, "name".

Without "dir", a job works in an empty folder of its own in the folder for temporary
files ($TMPDIR), which is removed with its content when the job has ended. A relative
"dir" is relative to the current folder, and a relative command to the job's folder.

In the folder, a job is a file NAME.json; write it under another name and rename it.
It becomes NAME.running and finally NAME.done, with its output in NAME.out and its
exit code in NAME.result. On standard input, a job is a line; each line of its
output is printed after its name.

Serve takes no jobs if the runner is not ready. After SIGINT, SIGTERM, SIGHUP or
SIGQUIT it takes no more jobs, and ends the running ones after --drain or at a second
signal. It also ends when the runner's token is revoked, or when its standard output
is closed.

Examples:
  satchel serve --jobs queue
  satchel serve --jobs queue --pool 8 --drain 10m
  satchel serve --stdin < jobs.jsonl
  echo '{"command": ["env"], "secrets": ["NPM_TOKEN"]}' | satchel serve --stdin --json
`

// errStopped is the cause of a context that a signal canceled.
var errStopped = errors.New("stopped by a signal")

func (p *program) serve(ctx context.Context, args []string) error {
	flags := p.flags("serve")
	where := flags.homeFlag()
	folder := flags.String("jobs", "", "take jobs from this `FOLDER`")
	stdin := flags.Bool("stdin", false, "take jobs from standard input, one per line, until it ends")
	pool := flags.Int("pool", 0, "run up to `N` jobs concurrently (default: from runner.yaml)")
	drain := flags.duration("drain", time.Minute, "`TIME` for running jobs to finish after a signal; with 0, none")
	asJSON := flags.jsonFlag()
	if _, err := flags.parseNone(args); err != nil {
		return err
	}
	if (*folder == "") != *stdin {
		return flags.wrong("give either --jobs FOLDER or --stdin")
	}
	if flags.given("pool") && (*pool < 1 || *pool > maxPool) {
		return flags.wrong(fmt.Sprintf("--pool: want 1 to %d", maxPool))
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, endings...)
	defer signal.Stop(signals)

	home, err := where.find()
	if err != nil {
		return err
	}
	layers, settings, err := home.layers()
	if err != nil {
		return err
	}
	if *pool > 0 {
		settings.Pool = *pool
	}
	checking, done := signal.NotifyContext(ctx, endings...)
	report := satchel.Check(checking, layers)
	stopped := checking.Err() != nil
	done()
	if stopped {
		return nil
	}
	if !report.OK() {
		p.printReport(p.err, report)
		return errors.New("the runner is not ready and takes no jobs")
	}
	var jobs source
	if *stdin {
		jobs = newInput(p.in)
	} else if jobs, err = openFolder(*folder, p); err != nil {
		return err
	}
	defer jobs.close()

	w := &workers{program: p, json: *asJSON, settings: settings, home: home, jobs: jobs}
	return w.serve(ctx, layers, signals, stop, *drain)
}

// serve runs the pool until there are no more jobs, ctx is done, or a signal arrives.
// stop cancels ctx.
func (w *workers) serve(ctx context.Context, layers []bundle.Provider, signals <-chan os.Signal, stop context.CancelCauseFunc, drain time.Duration) error {
	w.lost = func(err error) { stop(fmt.Errorf("writing to standard output: %w", err)) }
	// Jobs outlive ctx by drain.
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var background sync.WaitGroup
	defer background.Wait()
	finished := make(chan struct{})
	defer close(finished)
	background.Go(func() {
		select {
		case s := <-signals:
			stop(fmt.Errorf("%w: %s", errStopped, s))
		case <-ctx.Done():
		case <-finished:
			return
		}
		timer := time.NewTimer(drain)
		defer timer.Stop()
		select {
		case <-signals: // the second one
		case <-timer.C:
		case <-finished:
		}
		end()
	})

	var err error
	w.client, err = w.connect(ctx, layers, 0, satchel.Options{Observer: satchel.Observer{
		Changed: func(diff bundle.Diff) { w.say(event{Event: "changed", Text: diff.String()}) },
		StateChanged: func(layer string, from, to satchel.State) {
			w.say(event{Event: "state", Text: fmt.Sprintf("%s changed from %s to %s", layer, from, to)})
			if to == satchel.Revoked {
				stop(fmt.Errorf("%s: the token was revoked; `satchel setup` gives the runner a new token", layer))
			}
		},
	}})
	if err != nil {
		return err
	}
	refreshing, stopRefreshing := context.WithCancel(running)
	background.Go(func() { _ = w.client.Run(refreshing) }) // ends only with its context
	defer stopRefreshing()

	w.sayShadowed(w.client.Bundle())
	w.say(event{Event: "online", Text: fmt.Sprintf("concurrent jobs: %d", w.settings.Pool)})
	var group sync.WaitGroup
	for range w.settings.Pool {
		group.Go(func() { w.work(ctx, running, stop) })
	}
	group.Wait()
	cause := context.Cause(ctx)
	text := "no more jobs"
	if cause != nil {
		text = cause.Error()
	}
	w.say(event{Event: "offline", Text: text})
	if cause == nil || errors.Is(cause, errStopped) || errors.Is(cause, context.Canceled) {
		return nil
	}
	return cause
}
