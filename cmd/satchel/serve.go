package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

const serveHelp = `It takes jobs from a folder, or from the input with --stdin, and runs several at a
time, each with the secrets that it names and no others. A job is JSON:

  {"command": ["make", "deploy"], "secrets": ["DEPLOY_TOKEN"]}

and may have "env" (an object of plain variables), "dir", "on_rotate" ("leave",
"restart" or the name of a signal such as "HUP"), and on the input a "name".

In the folder a job is a file NAME.json; write it elsewhere and move it there.
It becomes NAME.running, and in the end NAME.done, with the output of the job in
NAME.out and the exit code in NAME.result. On the input a job is a line, and what
it prints comes out line by line, behind its name.

It checks first, and takes no jobs if the runner is not ready. INT and TERM end it:
it takes no more jobs, the running ones go on, and those that have not ended after
--drain, or at a second signal, are ended. It also ends when the runner's token is
revoked.

Examples:
  satchel serve --jobs queue
  satchel serve --jobs queue --pool 8 --drain 10m
  satchel serve --stdin < jobs.jsonl
  echo '{"command": ["env"], "secrets": ["NPM_TOKEN"]}' | satchel serve --stdin --json
`

// errStopped is why serve takes no more jobs after a signal.
var errStopped = errors.New("told to stop")

func (p *program) serve(ctx context.Context, args []string) error {
	flags := p.flags("serve")
	where := flags.homeFlag()
	folder := flags.String("jobs", "", "take jobs from this `FOLDER`")
	stdin := flags.Bool("stdin", false, "take jobs from the input, one a line, until it ends")
	pool := flags.Int("pool", 0, "how `MANY` jobs to run at a time (default: as set up)")
	drain := flags.duration("drain", time.Minute, "how `LONG` running jobs may go on when it ends; with 0, not at all")
	asJSON := flags.jsonFlag()
	if _, err := flags.parseNone(args); err != nil {
		return err
	}
	if (*folder == "") != *stdin {
		return flags.wrong("it takes jobs from one place: give --jobs FOLDER or --stdin")
	}
	if flags.given("pool") && (*pool < 1 || *pool > maxPool) {
		return flags.wrong(fmt.Sprintf("--pool: want 1 to %d", maxPool))
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	layers, settings, err := where.layers()
	if err != nil {
		return err
	}
	if *pool > 0 {
		settings.Pool = *pool
	}
	checking, done := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	report := satchel.Check(checking, layers)
	stopped := checking.Err() != nil
	done()
	if stopped {
		return nil
	}
	if !report.OK() {
		p.printReport(p.err, report)
		return errors.New("the runner is not ready, and takes no jobs")
	}
	var jobs source
	if *stdin {
		jobs = newInput(p.in)
	} else if jobs, err = openFolder(*folder, p); err != nil {
		return err
	}
	defer jobs.close()

	w := &workers{program: p, json: *asJSON, settings: settings, jobs: jobs}
	return w.serve(ctx, layers, signals, stop, *drain)
}

// serve runs the pool until the jobs end, ctx does, or a signal comes; ctx is
// that of stop.
func (w *workers) serve(ctx context.Context, layers []bundle.Provider, signals <-chan os.Signal, stop context.CancelCauseFunc, drain time.Duration) error {
	// Jobs outlive ctx by the time for draining.
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
			w.say(event{Event: "state", Text: fmt.Sprintf("%s is %s and was %s", layer, to, from)})
			if to == satchel.Revoked {
				stop(fmt.Errorf("%s is revoked; give the runner a new token with `satchel setup`", layer))
			}
		},
	}})
	if err != nil {
		return err
	}
	refreshing, stopRefreshing := context.WithCancel(running)
	background.Go(func() { _ = w.client.Run(refreshing) }) // ends with its context only
	defer stopRefreshing()

	w.sayHidden(w.client.Bundle())
	w.say(event{Event: "online", Text: fmt.Sprintf("jobs at a time: %d", w.settings.Pool)})
	var group sync.WaitGroup
	for range w.settings.Pool {
		group.Go(func() { w.work(ctx, running, stop) })
	}
	group.Wait()
	cause := context.Cause(ctx)
	text := "the jobs ended"
	if cause != nil {
		text = cause.Error()
	}
	w.say(event{Event: "offline", Text: text})
	if cause == nil || errors.Is(cause, errStopped) || errors.Is(cause, context.Canceled) {
		return nil
	}
	return cause
}
