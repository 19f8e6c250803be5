package providers

import (
	"cmp"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// confirmUnknown is how long a platform must not know a token before a client discards
// its secrets: a platform that lost its data, or was started with other data, knows no
// token. Revoked and expired tokens are on record.
const confirmUnknown = 15 * time.Minute

// readRefusal returns the error for a response other than 200. It reads the body.
// Only a problem document of the platform is permanent or revokes the secrets:
// anything else comes from a server in between, such as a proxy or an ingress, while
// the platform is away.
func readRefusal(c *remote.Call, response *http.Response) error {
	e := c.Status(response)
	problem, own := readProblem(response)
	if !own {
		e.RetryAfter = min(e.RetryAfter, remote.MaxForeignRetry)
		if e.StatusCode == http.StatusNotModified {
			e.Reason = remote.ReasonUnasked
		}
		return remote.Failure(e, bundle.FetchUnavailable, foreignFix(c, e.StatusCode))
	}
	e.Reason = problem.Reason
	kind, fix := bundle.FetchPermanent, ""
	switch code := e.StatusCode; {
	case problem.Type == wire.TokenProblem:
		return refusedToken(e)
	case code == http.StatusBadRequest:
		fix = "check the runner name, and that the URL is a platform's"
	case code == http.StatusForbidden:
		fix = "permission denied: check on the platform what this token may do, and from which addresses"
	case code == http.StatusNotFound, code == http.StatusGone, code == http.StatusMethodNotAllowed:
		fix = "check the base URL, which must not include " + wire.BootstrapPath
	default:
		kind, fix = c.To.KindOf(code)
	}
	return remote.Failure(e, kind, fix)
}

// foreignFix returns the advice for a response of another server.
func foreignFix(c *remote.Call, code int) string {
	const between = "any proxy between this machine and the platform"
	switch code {
	case http.StatusNotModified:
		return "the request was not conditional: check for a caching proxy"
	case http.StatusNotFound, http.StatusGone, http.StatusMethodNotAllowed:
		return "the response is not the platform's: check the base URL, which must not include " + wire.BootstrapPath + ", and " + between
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return "the response is not from a platform that knows the token: check the URL and " + between
	}
	_, fix := c.To.NotFrom(code)
	return fix
}

// refusedToken returns the error for a problem with the token.
func refusedToken(e *remote.StatusError) error {
	kind, fix := bundle.FetchPermanent, ""
	switch e.Reason {
	case wire.ReasonRevoked:
		kind, fix = bundle.FetchRevoked, "the token was revoked: issue a new one on the platform"
	case wire.ReasonExpired:
		kind, fix = bundle.FetchRevoked, "the token has expired: issue a new one on the platform"
	case wire.ReasonUnknown:
		kind, fix = bundle.FetchRevoked, "the platform does not know this token: check that it was issued there and that the platform has its data, or issue a new one"
	case wire.ReasonMissing:
		fix = "the token did not arrive: check that no proxy removes the Authorization header"
	case wire.ReasonMalformed:
		fix = "the token arrived modified: check any proxy between this machine and the platform"
	default:
		kind, fix = bundle.FetchUnavailable, "the reason is not known to this version: check the token on the platform"
	}
	failed := remote.Failure(e, kind, fix)
	if f, ok := errors.AsType[*bundle.FetchError](failed); ok && e.Reason == wire.ReasonUnknown {
		f.Confirm = confirmUnknown
	}
	return failed
}

// readProblem returns the parts of a problem document (RFC 9457) that are safe to
// show: its type and a one-word reason. own reports whether it is the platform's: it
// has the media type, the status of the response, and a type of the protocol.
func readProblem(response *http.Response) (problem wire.Refusal, own bool) {
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || media != wire.ProblemType || response.StatusCode < http.StatusBadRequest {
		return wire.Refusal{}, false
	}
	var said wire.Refusal
	if !remote.ReadRefusal(response, &said) || !strings.HasPrefix(said.Type, wire.ProblemPrefix) ||
		cmp.Or(said.Status, response.StatusCode) != response.StatusCode ||
		said.Type == wire.TokenProblem && response.StatusCode != http.StatusUnauthorized {
		return wire.Refusal{}, false
	}
	problem.Type = said.Type
	if remote.PlainWord(said.Reason) {
		problem.Reason = said.Reason
	}
	return problem, true
}
