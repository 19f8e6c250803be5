package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
)

// Exit codes besides those of jobs.
const (
	codeFailed = 1   // failure, or the runner is not ready
	codeUsage  = 2   // usage error
	codeNoJob  = 125 // of run, and of a job of serve: the job was not started
)

// exitCode ends the program with a code and no message.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is an error of the command line. The program exits with codeUsage.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// jobError is an error with the exit code of a job.
type jobError struct {
	code int
	err  error
}

func (e *jobError) Error() string { return e.err.Error() }
func (e *jobError) Unwrap() error { return e.err }

// flagNames maps settings of the library to this program's flags.
var flagNames = map[string]string{
	"job.Job.Secrets":            "--secret",
	"job.Job.Files":              "--file",
	"job.Job.AllowNames":         "--allow",
	"job.Job.PassEnv":            "--pass",
	"job.Job.Git":                "--git",
	"job.GitCredential.Username": "USER:SECRET=URL",

	"migrate.Options.Include":   "--include",
	"migrate.Options.Exclude":   "--exclude",
	"migrate.Options.Overwrite": "--overwrite",

	"admin.Client.HTTPClient.RootCAs":   caFile,
	"providers.Platform.Client.RootCAs": caFile,
}

const caFile = "the file of `satchel setup --ca`"

// taskNames maps settings of the library to the fields of a job of serve. AllowNames
// is absent: such a job cannot lift its own restrictions.
var taskNames = map[string]string{
	"job.Job.Path":     `"command"`,
	"job.Job.Secrets":  `"secrets"`,
	"job.Job.Env":      `"env"`,
	"job.Job.OnRotate": `"on_rotate"`,
}

// explained returns the text of err, with settings replaced by their names in names.
func explained(err error, names map[string]string) string {
	return bundle.Explain(err, func(setting string) string { return names[setting] })
}

// flagName returns the flag of a setting of the library, or "" if it has none.
func flagName(setting string) string { return flagNames[setting] }

// hint returns advice about an error that only this program can give, or "".
func hint(err error) string {
	if fetch, ok := errors.AsType[*bundle.FetchError](err); ok && fetch.Kind == bundle.FetchRevoked {
		return "`satchel setup` gives the runner a new token"
	}
	refused, ok := errors.AsType[*admin.Error](err)
	switch {
	case !ok:
	case refused.StatusCode == http.StatusUnauthorized && refused.Type != "":
		return "set " + adminTokenName + " to an administrator's token, or enter one at the prompt"
	case refused.StatusCode == http.StatusNotFound || refused.Type == "" && refused.StatusCode < 500:
		return "the admin API is expected at the platform's URL followed by /admin; `satchel setup --admin URL` sets another one"
	}
	return ""
}
