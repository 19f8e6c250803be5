// Command satchel-platform is a complete platform: it serves the bootstrap protocol
// to runners, the admin API to administrators, and health probes. By default it uses
// SQLite and a key file; flags or the environment select PostgreSQL and a key service.
// Its commands:
//
//	satchel-platform [serve]        # serve https://127.0.0.1:8443, files in ./satchel-data
//	satchel-platform rewrap         # move all data keys to the primary key
//	satchel-platform export FILE    # write a sealed backup
//	satchel-platform import FILE    # import a backup
//	satchel-platform keygen FILE    # create a key file
//	satchel-platform admin list     # list the named administrators; also add, rotate, remove
//	satchel-platform -help          # list all settings
//
// config.go defines the settings, parse.go reads them, and inspect.go checks the files
// that they name before anything is created. open.go opens the vault, serve.go serves
// it, and commands.go and administrators.go have the other commands. docs/platform.md
// documents the program.
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

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it could not start, or failed later
	exitUsage  = 2 // invalid settings; nothing was started
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal, the next one ends the process immediately.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// commands are the commands by name. The default is serve.
var commands = map[string]func(context.Context, *config, *slog.Logger, io.Writer) error{
	"serve":  serve,
	"rewrap": rewrap,
	"export": export,
	"import": importFile,
	"keygen": keygen,

	"admin add":    addAdministrator,
	"admin list":   listAdministrators,
	"admin rotate": rotateAdministrator,
	"admin remove": removeAdministrator,
}

// run runs the program until the command is done or ctx ends, and returns the exit
// code.
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

// unusable marks an error that only other settings can fix, found after the start.
type unusable struct{ error }

// refuse prints each problem of the settings, and returns the exit code.
func refuse(stderr io.Writer, err error) int {
	for _, problem := range problems(err) {
		fmt.Fprintln(stderr, "satchel-platform:", bundle.Explain(problem, flagName))
	}
	fmt.Fprintln(stderr, "satchel-platform: nothing was started; -help shows all settings")
	return exitUsage
}

// flagNames maps settings of the library to flags.
var flagNames = map[string]string{
	"keyring.Options.Retired":           "-kek-retired",
	"vault.AdministratorOptions.Scopes": "-scope",
	"vault.ExportOptions.Skip":          "-skip",
	"vault.Options.AuditKeep":           "-audit-keep",
	"vault.Options.Notices":             "-notice",
	"vault.Options.RefreshAfter":        "-refresh-after",
	"vault.Options.Required":            "-require",
}

// flagName returns the flag of a setting of the library, or "" if it has none.
func flagName(setting string) string { return flagNames[setting] }

// problems returns the errors that errors.Join combined.
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
