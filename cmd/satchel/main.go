// Command satchel is a complete runner on Satchel: it is set up in three steps,
// shows whether it is ready, says where each of its secrets comes from, runs one
// job or serves many, and moves local secrets to the platform. Its page is
// docs/runner.md.
//
//	go run ./cmd/satchel help
//
// Read commands.go first: each command has a file of its own name.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/satchelhq/satchel/internal/text"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes. Those of a job are the job's own.
const (
	codeFailed = 1   // it did not work, or the runner is not ready
	codeUsage  = 2   // the command line cannot be meant
	codeNoJob  = 125 // of run: the job was not started, and the runner is why
)

// exitCode ends the program with a code when everything is said.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is a command line that cannot be meant.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// program is what the commands share: the streams of one run.
type program struct {
	in       io.Reader
	lines    *bufio.Reader // of in
	out, err io.Writer
}

// run is the program without its process: it returns the exit code. Like the
// library, it takes variables from the environment of the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{in: stdin, lines: bufio.NewReader(stdin), out: stdout, err: stderr}
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-version", "--version":
		name = "version"
	}
	err := p.command(ctx, name, args)
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	place := "satchel " + name
	if _, ok := find(name); !ok {
		place = "satchel"
	}
	fmt.Fprintf(p.err, "%s %s\n", p.paint(p.err, red, place+":"), text.Printable(explained(err, flagNames)))
	if advice := hint(err); advice != "" {
		fmt.Fprintln(p.err, advice)
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return codeUsage
	}
	if job, ok := errors.AsType[*jobError](err); ok {
		return job.code
	}
	if name == "run" {
		return codeNoJob
	}
	return codeFailed
}

// command runs the command called name.
func (p *program) command(ctx context.Context, name string, args []string) error {
	c, ok := find(name)
	if !ok {
		var names []string
		for _, c := range commands() {
			if !c.hidden {
				names = append(names, c.name)
			}
		}
		return &usageError{"there is no such command" + nearest(name, names) + "; `satchel help` lists them"}
	}
	return c.run(p, ctx, args)
}
