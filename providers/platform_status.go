package providers

import (
	"net/http"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// readRefusal returns the error for a response other than 200. It reads the body.
func readRefusal(c *remote.Call, response *http.Response) error {
	e := c.Status(response)
	problem := readProblem(response)
	e.Reason = problem.Reason
	kind, fix := bundle.FetchPermanent, ""
	switch code := e.StatusCode; {
	case code == http.StatusUnauthorized:
		kind, fix = refusedToken(problem)
	case code == http.StatusNotModified:
		e.Reason = remote.ReasonUnasked
		kind, fix = bundle.FetchUnavailable, "the request was not conditional: check for a caching proxy"
	case code == http.StatusBadRequest:
		fix = "check the runner name, and that the URL is a platform's"
	case code == http.StatusForbidden:
		fix = "permission denied: check on the platform what this token may do, and from which addresses"
	case code == http.StatusNotFound, code == http.StatusGone, code == http.StatusMethodNotAllowed:
		fix = "not a platform: check the base URL, which must not include " + wire.BootstrapPath
	default:
		kind, fix = c.To.KindOf(code)
	}
	return remote.Failure(e, kind, fix)
}

// refusedToken classifies a 401. One from another server, such as a proxy, has no
// information about the token.
func refusedToken(problem wire.Refusal) (bundle.FetchKind, string) {
	if problem.Type == wire.TokenProblem {
		switch problem.Reason {
		case wire.ReasonRevoked:
			return bundle.FetchRevoked, "the token was revoked: issue a new one on the platform"
		case wire.ReasonExpired:
			return bundle.FetchRevoked, "the token has expired: issue a new one on the platform"
		case wire.ReasonUnknown:
			return bundle.FetchRevoked, "the platform does not know this token: check that it was issued there, or issue a new one"
		case wire.ReasonMissing:
			return bundle.FetchPermanent, "the token did not arrive: check that no proxy removes the Authorization header"
		case wire.ReasonMalformed:
			return bundle.FetchPermanent, "the token arrived modified: check any proxy between this machine and the platform"
		}
	}
	return bundle.FetchUnavailable, "the response is not from a platform that knows the token: check the URL and any proxy"
}

// readProblem returns the parts of a problem document (RFC 9457) that are safe
// to show: a known type and a one-word reason. Anything else leaves them empty.
func readProblem(response *http.Response) wire.Refusal {
	var said wire.Refusal
	if !remote.ReadRefusal(response, &said) {
		return wire.Refusal{}
	}
	var plain wire.Refusal
	switch said.Type {
	case wire.TokenProblem, wire.RequestProblem, wire.NotAllowedProblem, wire.UnavailableProblem, wire.IntegrityProblem:
		plain.Type = said.Type
	}
	if remote.PlainWord(said.Reason) {
		plain.Reason = said.Reason
	}
	return plain
}
