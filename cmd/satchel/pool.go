package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/job"
)

// assignment is a job that a worker took.
type assignment struct {
	name string
	task task
	err  error     // set if the job is invalid
	out  io.Writer // gets the masked output; nil means the pool's
	// done stores the result.
	done func(result) error
}

// result is the outcome of a job, as stored in NAME.result.
type result struct {
	Code    int       `json:"code"`
	Error   string    `json:"error,omitempty"`
	Started time.Time `json:"started_at"`
	Ended   time.Time `json:"ended_at"`
}

// source supplies jobs. next waits for one, and returns io.EOF when there are no more.
type source interface {
	next(ctx context.Context) (*assignment, error)
	close()
}

// workers is a running pool.
type workers struct {
	*program
	json     bool
	settings settings
	client   *satchel.Client
	jobs     source
	home     home
	printing sync.Mutex
	searched sync.Map // folders of jobs that sayExposed has searched
	// lost ends the pool if an event cannot be printed.
	lost func(error)
}

// work runs jobs until there are no more or ctx is done. running is the context of the
// jobs; stop ends all workers.
func (w *workers) work(ctx, running context.Context, stop context.CancelCauseFunc) {
	for {
		a, err := w.jobs.next(ctx)
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil && a == nil:
			return
		case err != nil:
			stop(err)
			return
		}
		r := w.run(running, a)
		if err := a.done(r); err != nil {
			stop(err)
			return
		}
		w.say(event{Event: "ended", Job: a.name, Text: r.Error, Code: &r.Code, Seconds: r.Ended.Sub(r.Started).Seconds()})
	}
}

// run runs one job with the secrets that it names.
func (w *workers) run(ctx context.Context, a *assignment) result {
	r := result{Started: time.Now().UTC(), Code: codeNoJob}
	if a.err == nil {
		names := w.settings.leaveOut(a.task.Secrets, w.program)
		text := strings.Join(a.task.Command[:1], "")
		if len(names) > 0 {
			text += " with " + strings.Join(names, ", ")
		}
		w.say(event{Event: "started", Job: a.name, Text: text})
		r.Code, a.err = w.start(ctx, a, names)
	}
	if a.err != nil {
		r.Error = explained(a.err, taskNames)
		if r.Code < 0 {
			r.Code = codeNoJob
		}
	}
	r.Ended = time.Now().UTC()
	return r
}

// start runs the command of a job, and returns its exit code.
func (w *workers) start(ctx context.Context, a *assignment, names []string) (int, error) {
	rotate, err := onRotate(a.task.OnRotate)
	if err != nil {
		return codeNoJob, err
	}
	out := a.out
	if out == nil {
		byLine := &lines{line: func(text string) error { return w.tell(event{Event: "output", Job: a.name, Text: text}) }}
		defer byLine.end()
		out = byLine
	}
	if dir := a.task.Dir; dir != "" {
		if _, before := w.searched.LoadOrStore(dir, true); !before {
			w.sayExposed(dir, w.home)
		}
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(a.task.Env)) {
		env = append(env, name+"="+a.task.Env[name])
	}
	return job.Job{
		Client: w.client, Path: a.task.Command[0], Args: a.task.Command[1:], Dir: a.task.Dir, OwnDir: a.task.Dir == "", Env: env,
		Secrets: names, OnRotate: rotate, Stdout: out, Stderr: out,
		Logger:     w.logger(taskNames),
		Background: true, // serve ends jobs itself
	}.Run(ctx)
}
