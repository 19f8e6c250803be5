package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
)

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

// jobError is an error that has the exit code of a job.
type jobError struct {
	code int
	err  error
}

func (e *jobError) Error() string { return e.err.Error() }
func (e *jobError) Unwrap() error { return e.err }

// flagNames are this program's names of settings of the library.
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

const caFile = "the file of --ca of `satchel setup`"

// taskNames are those of a job that serve was asked for. Such a job cannot allow
// itself what its secrets must not do.
var taskNames = map[string]string{
	"job.Job.Path":     `"command"`,
	"job.Job.Secrets":  `"secrets"`,
	"job.Job.Env":      `"env"`,
	"job.Job.OnRotate": `"on_rotate"`,
}

// explained returns the text of err with the names of settings that names has.
func explained(err error, names map[string]string) string {
	return bundle.Explain(err, func(setting string) string { return names[setting] })
}

// flagName returns this program's name of a setting.
func flagName(setting string) string { return flagNames[setting] }

// hint says what to do about an error in this program, beyond what its text
// says, or nothing.
func hint(err error) string {
	if fetch, ok := errors.AsType[*bundle.FetchError](err); ok && fetch.Kind == bundle.FetchRevoked {
		return "`satchel setup` gives the runner a new token"
	}
	refused, ok := errors.AsType[*admin.Error](err)
	switch {
	case !ok:
	case refused.StatusCode == http.StatusUnauthorized:
		return "give the credential of an administrator, in " + adminTokenName + " or when asked"
	case refused.StatusCode == http.StatusNotFound || refused.Type == "" && refused.StatusCode < 500:
		return "the admin API is expected at the platform's URL and /admin; --admin of `satchel setup` names another place"
	}
	return ""
}
