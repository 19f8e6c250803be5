package main

import (
	"errors"
	"net/http"
	"strings"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
)

// flagNames are this program's names of settings of the library.
var flagNames = map[string]string{
	"job.Job.Secrets":            "--secret",
	"job.Job.Files":              "--file",
	"job.Job.AllowNames":         "--allow",
	"job.Job.Env":                "--pass",
	"job.Job.Git":                "--git",
	"job.GitCredential.Username": "USER:SECRET=URL",
}

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

// inFlags puts this program's flags where the library speaks of its fields.
func inFlags(text string) string { return fieldsAsFlags.Replace(text) }

var fieldsAsFlags = strings.NewReplacer(
	"or to the RootCAs of HTTPClient", "or name its file with --ca of `runner setup`",
	"or to the RootCAs of Client", "or name its file with --ca of `runner setup`",
	"; or raise Timeout", "",
	" of Include is ", " of --include is ",
	" of Exclude is ", " of --exclude is ",
	" of Overwrite is ", " of --overwrite is ",
	" is in Include and in Exclude;", " is in --include and in --exclude;",
	" is in Overwrite and in Exclude;", " is in --overwrite and in --exclude;",
)

// hint says what to do about an error in this program, beyond what its text
// says, or nothing.
func hint(err error) string {
	if fetch, ok := errors.AsType[*bundle.FetchError](err); ok && fetch.Kind == bundle.FetchRevoked {
		return "`runner setup` gives the runner a new token"
	}
	refused, ok := errors.AsType[*admin.Error](err)
	switch {
	case !ok:
	case refused.StatusCode == http.StatusUnauthorized:
		return "give the credential of an administrator, in " + adminTokenName + " or when asked"
	case refused.StatusCode == http.StatusNotFound || refused.Type == "" && refused.StatusCode < 500:
		return "the admin API is expected at the platform's URL and /admin; --admin of `runner setup` names another place"
	}
	return ""
}
