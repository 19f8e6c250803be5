// Command satchel is a complete runner built on the library of that name.
// docs/runner.md documents it. Its commands:
//
//	satchel setup      set the runner up in three steps
//	satchel check      check whether the runner is ready
//	satchel explain    show where a secret comes from
//	satchel run        run one job with its secrets
//	satchel serve      run jobs from a folder or from standard input
//	satchel migrate    move secrets from a local file to the platform
//	satchel version    print the version
//	satchel help       explain a command
//
// Each is in the file of its name; commands.go lists them. git-credential, which git
// starts inside a job, is in git.go.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/satchelhq/satchel/internal/text"
)

// endings are the signals that end the program in order, with its clean-up. SIGHUP is
// left ignored if it was when the program started, as under nohup.
var endings = func() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT}
	if signal.Ignored(syscall.SIGHUP) {
		return all
	}
	return append(all, syscall.SIGHUP)
}()

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// program has the streams that the commands share.
type program struct {
	in       io.Reader
	lines    *bufio.Reader // of in
	out, err io.Writer
}

// run runs the program and returns its exit code. Like the library, it reads the
// environment of the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// Without this, a closed pipe at standard output ends the program in the middle of its
	// work. Writing there fails then, and the exit code is that of the work.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
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
		return &usageError{"unknown command" + nearest(name, names) + "; `satchel help` lists all commands"}
	}
	if !c.signals {
		interruptible, stop := signal.NotifyContext(ctx, endings...)
		defer stop()
		ctx = interruptible
	}
	return c.run(p, ctx, args)
}
