// Command satchel-platform is a complete server for the platform's side of Satchel:
// the bootstrap protocol for runners, the admin API for administrators, and probes
// for what watches it. SQLite and a key in a file are its defaults; flags, or the
// environment, choose PostgreSQL and a key service. Its commands:
//
//	satchel-platform [serve]        # on https://127.0.0.1:8443, files in ./satchel-data
//	satchel-platform rewrap         # moves all data keys to the primary key
//	satchel-platform export FILE    # a sealed backup
//	satchel-platform import FILE    # takes in a backup
//	satchel-platform keygen FILE    # a key file
//	satchel-platform -help          # everything that can be set
//
// All settings are in config.go; parse.go reads them, and inspect.go looks at the
// files that they name before anything is made. open.go makes the vault of them,
// serve.go serves it, commands.go does what needs no server. docs/platform.md is for
// those who run it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/satchelhq/satchel/bundle"
)

// What the program exits with.
const (
	exitOK     = 0
	exitFailed = 1 // it could not start, or could not go on
	exitUsage  = 2 // the settings are not usable; nothing was started
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// From the first signal on, the next one ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// commands are what the first argument may be. Without one, it is serve.
var commands = map[string]func(context.Context, *config, *slog.Logger, io.Writer) error{
	"serve":  serve,
	"rewrap": rewrap,
	"export": export,
	"import": importFile,
	"keygen": keygen,
}

// run is the program: it returns what to exit with, when ctx is over or the
// command is done.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	c, err := parse(args, environ)
	if errors.Is(err, flag.ErrHelp) {
		help(stdout)
		return exitOK
	}
	if err := errors.Join(err, c.inspect(ctx)); err != nil {
		return refuse(stderr, err)
	}
	err = commands[c.command](ctx, c, c.logger(stderr), stdout)
	if wrong, ok := errors.AsType[unusable](err); ok {
		return refuse(stderr, wrong.error)
	}
	if err != nil {
		fmt.Fprintf(stderr, "satchel-platform: %s: %s\n", c.command, bundle.Explain(err, flagName))
		return exitFailed
	}
	return exitOK
}

// unusable is what only other settings mend, found after the program had begun.
type unusable struct{ error }

// refuse says what is wrong with the settings, and returns what to exit with.
func refuse(stderr io.Writer, err error) int {
	for _, problem := range problems(err) {
		fmt.Fprintln(stderr, "satchel-platform:", bundle.Explain(problem, flagName))
	}
	fmt.Fprintln(stderr, "satchel-platform: nothing was started; -help shows all settings")
	return exitUsage
}

// flagNames are the flags of settings of the library.
var flagNames = map[string]string{
	"keyring.Options.Retired":    "-kek-retired",
	"vault.Options.AuditKeep":    "-audit-keep",
	"vault.Options.Notices":      "-notice",
	"vault.Options.RefreshAfter": "-refresh-after",
	"vault.Options.Required":     "-require",
}

// flagName returns the flag of a setting of the library, or "" if it has none.
func flagName(setting string) string { return flagNames[setting] }

// problems returns the errors that errors.Join has put together.
func problems(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, err := range joined.Unwrap() {
		all = append(all, problems(err)...)
	}
	return all
}
