// Command pool is a small, complete runner to copy from. It reads jobs as JSON from
// standard input and runs several at a time, each with the secrets that it names.
// Their output is masked. SATCHEL_API_URL and SATCHEL_RUNNER_TOKEN come from the
// environment or from .env.
//
//	echo '{"name": "web", "command": ["make", "deploy"], "secrets": ["DEPLOY_TOKEN"]}' | go run ./examples/pool
//
// SIGINT and SIGTERM end it: it starts no more jobs, and sends SIGTERM to running ones.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/job"
	"github.com/satchelhq/satchel/providers"
)

const workers = 4 // the number of concurrent jobs

type task struct {
	Name    string   `json:"name"` // prefix of each line of output; default: the program
	Command []string `json:"command"`
	Secrets []string `json:"secrets"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pool:", err)
		os.Exit(1)
	}
}

// run starts jobs until the input ends or ctx is done, and returns when all have ended.
func run(ctx context.Context, in io.Reader, out io.Writer) error {
	platform, err := providers.PlatformFromEnv(".env")
	if err != nil {
		return err
	}
	env := &providers.Env{Names: []string{"DEPLOY_TOKEN", "NPM_TOKEN"}}
	layers := []bundle.Provider{platform, &providers.Dotenv{Path: ".env", Optional: true}, env} // the last one wins
	client, err := satchel.New(ctx, layers, nil)
	if err != nil {
		return err
	}
	// Secrets stay fresh until the last job has ended, after ctx is done.
	refreshing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background, jobs sync.WaitGroup
	background.Go(func() { _ = client.Run(refreshing) }) // it fails only if called twice
	defer background.Wait()
	defer stop()

	p := &pool{client: client, tasks: make(chan task), out: out}
	go p.read(ctx, in) // may outlive run while it reads the input
	for range workers {
		jobs.Go(func() { p.work(ctx) })
	}
	jobs.Wait()
	if ctx.Err() != nil || p.ended == io.EOF {
		return nil
	}
	return fmt.Errorf("reading jobs: %w", p.ended)
}

type pool struct {
	client *satchel.Client
	tasks  chan task
	ended  error      // of the input; set before tasks is closed
	mu     sync.Mutex // guards out
	out    io.Writer
}

// read sends the jobs of the input to tasks.
func (p *pool) read(ctx context.Context, in io.Reader) {
	defer close(p.tasks)
	input := json.NewDecoder(in)
	for {
		var t task
		err := input.Decode(&t)
		if err == nil && len(t.Command) == 0 {
			err = errors.New(`missing "command"`)
		}
		if err != nil {
			p.ended = err
			return
		}
		select {
		case p.tasks <- t:
		case <-ctx.Done():
			return
		}
	}
}

// work runs one job after another.
func (p *pool) work(ctx context.Context) {
	for {
		select {
		case t, more := <-p.tasks:
			if !more {
				return
			}
			out := &output{pool: p, name: cmp.Or(t.Name, t.Command[0])}
			code, err := job.Job{
				Client: p.client, Path: t.Command[0], Args: t.Command[1:], Secrets: t.Secrets,
				Stdout: out, Stderr: out, Background: true, // signals are for the pool
			}.Run(ctx)
			if len(out.line) > 0 {
				fmt.Fprintln(out) // an unterminated last line
			}
			slog.Info("job ended", "job", out.name, "code", code, "error", err)
		case <-ctx.Done():
			return
		}
	}
}

// output prints the masked output of a job line by line.
type output struct {
	pool *pool
	name string
	line []byte
}

func (o *output) Write(text []byte) (n int, err error) {
	for part := range bytes.Lines(text) {
		if o.line = append(o.line, part...); bytes.HasSuffix(part, []byte("\n")) {
			o.pool.mu.Lock()
			_, failed := fmt.Fprintf(o.pool.out, "[%s] %s", o.name, o.line)
			o.pool.mu.Unlock()
			o.line, err = o.line[:0], cmp.Or(err, failed)
		}
	}
	return len(text), err // an error ends the job
}
