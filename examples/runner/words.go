package main

import (
	"errors"
	"net/http"
	"strings"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
)

// inFlags puts this program's flags where the library speaks of its fields.
func inFlags(text string) string { return fieldsAsFlags.Replace(text) }

var fieldsAsFlags = strings.NewReplacer(
	"allow them in AllowNames", "allow them with --allow",
	"take it out of PassEnv and Env", "do not --pass it",
	"or to the RootCAs of HTTPClient", "or name its file with --ca of `runner setup`",
	"or to the RootCAs of Client", "or name its file with --ca of `runner setup`",
	"; or raise Timeout", "",
	"and use Username", "and write USER:SECRET=URL",
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
