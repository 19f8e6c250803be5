package bitbucket

import (
	"net/http"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// oauthErrors are the error codes of RFC 6749, section 5.2. No others are shown.
var oauthErrors = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}

// refusedConsumer returns the error for a response other than 200. It reads the
// body for OAuth's error code.
func refusedConsumer(c *remote.Call, response *http.Response) error {
	e := c.Status(response)
	var said struct{ Error any }
	bitbuckets := remote.ReadRefusal(response, &said) && isError(said.Error)
	if word, ok := said.Error.(string); ok && slices.Contains(oauthErrors, word) {
		e.Reason = word
	}
	const (
		credentials = "check that {bitbucket.Consumer.ConsumerKey} and {bitbucket.Consumer.ConsumerSecret} belong together, and that the consumer still exists"
		consumer    = "check that the consumer is marked as private and has a callback URL (any URL works)"
	)
	kind, fix := bundle.FetchPermanent, ""
	switch code := e.StatusCode; {
	case code >= 500 || code == http.StatusTooManyRequests:
		if code == http.StatusTooManyRequests && e.RetryAfter == 0 {
			e.RetryAfter = remote.LeastLimit
		}
		kind, fix = peer.KindOf(code)
	case !bitbuckets:
		kind, fix = peer.NotFrom(code)
	case e.Reason == "unauthorized_client":
		fix = credentials + "; " + consumer
	case e.Reason == "invalid_client", code == http.StatusUnauthorized:
		fix = credentials
	case e.Reason != "":
		fix = consumer
	default:
		kind, fix = peer.KindOf(code)
	}
	if !bitbuckets { // Bitbucket may be back before the time of a gateway's page
		e.RetryAfter = min(e.RetryAfter, remote.MaxForeignRetry)
	}
	return remote.Failure(e, kind, fix)
}

// isError reports whether the member "error" of a response has a form of Bitbucket: the
// code of OAuth or the object of its API. In gateways' JSON it is a phrase.
func isError(member any) bool {
	switch member := member.(type) {
	case string:
		return member != "" && strings.Trim(member, "abcdefghijklmnopqrstuvwxyz_") == ""
	case map[string]any:
		return true
	}
	return false
}

// compareScopes describes how scopes, separated by spaces, are wider or narrower
// than asked, with the scopes that each includes. It compares nothing if one of
// the two is empty.
func compareScopes(granted string, asked []string) []string {
	got := strings.Fields(granted)
	if len(got) == 0 || len(asked) == 0 {
		return nil
	}
	var more, less []string
	included := withIncluded(asked)
	for _, scope := range got {
		if included[scope] {
			continue
		}
		if !plainScope(scope) {
			scope = "another scope"
		}
		more = append(more, scope)
	}
	included = withIncluded(got)
	for _, scope := range asked {
		if !included[scope] {
			less = append(less, "no "+scope)
		}
	}
	return remote.Differences(more, less)
}

// withIncluded returns scopes and the scopes that they include according to
// Bitbucket's documentation: write includes read, and access to pull requests or
// projects includes their repositories.
func withIncluded(scopes []string) map[string]bool {
	all := map[string]bool{}
	var add func(scope string)
	add = func(scope string) {
		if all[scope] {
			return
		}
		all[scope] = true
		if read, ok := strings.CutSuffix(scope, ":write"); ok {
			add(read)
		}
		switch scope {
		case "pullrequest", "project":
			add("repository")
		case "pullrequest:write":
			add("repository:write")
		}
	}
	for _, scope := range scopes {
		add(scope)
	}
	return all
}

// plainScope reports whether s is valid as a scope. Such a scope from Bitbucket is
// safe to show, because lower-case letters and colons cannot form a token.
func plainScope(s string) bool {
	const longest = 48
	return s != "" && len(s) <= longest && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz:") == ""
}
