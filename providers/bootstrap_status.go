package providers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
)

// StatusError is an HTTP answer other than the one that was wanted. It holds
// nothing of the answer's body but Reason.
type StatusError struct {
	Method string
	// URL is the one that was asked, without user, query and fragment.
	URL        string
	StatusCode int
	// Reason is a word that says more than the status: for a refused token
	// "missing", "malformed", "unknown", "revoked" or "expired"; for an answer
	// that cannot be used "malformed-answer", "not-json", "answer-too-large",
	// "answer-too-slow", "answer-cut" or "unasked-unchanged"; for a redirect
	// "redirect-to-other-origin", "redirect-without-target" or
	// "too-many-redirects"; or another word that the server gave. It may be
	// empty.
	Reason string
	// RetryAfter is how long the server asked to be left alone, at most an
	// hour, or zero.
	RetryAfter time.Duration
}

const (
	reasonMalformed     = "malformed-answer"
	reasonNotJSON       = "not-json"
	reasonTooLarge      = "answer-too-large"
	reasonTooSlow       = "answer-too-slow"
	reasonCut           = "answer-cut"
	reasonUnasked       = "unasked-unchanged"
	reasonOtherOrigin   = "redirect-to-other-origin"
	reasonNoTarget      = "redirect-without-target"
	reasonManyRedirects = "too-many-redirects"
)

const maxRetryAfter = time.Hour

// Error returns the fields, such as "GET https://host/x: status 503 Service
// Unavailable, unavailable, retry after 30s".
func (e *StatusError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s: status %d", e.Method, e.URL, e.StatusCode)
	if text := http.StatusText(e.StatusCode); text != "" {
		s.WriteString(" " + text)
	}
	if e.Reason != "" {
		s.WriteString(", " + e.Reason)
	}
	if e.RetryAfter > 0 {
		s.WriteString(", retry after " + e.RetryAfter.String())
	}
	return s.String()
}

// newStatusError returns the error for a response to a GET of endpoint. It
// does not take the URL of the response, which a redirect may have given.
func newStatusError(endpoint *url.URL, response *http.Response) *StatusError {
	return &StatusError{
		Method: http.MethodGet, URL: endpoint.String(), StatusCode: response.StatusCode,
		RetryAfter: retryAfter(response.Header, time.Now()),
	}
}

// because returns e with a reason as a failure that may go away.
func (e *StatusError) because(reason, fix string) error {
	e.Reason = reason
	return e.failure(bundle.FetchUnavailable, fix)
}

func (e *StatusError) failure(kind bundle.FetchKind, fix string) error {
	return &bundle.FetchError{Kind: kind, RetryAfter: e.RetryAfter, Err: &mendable{err: e, fix: fix}}
}

// refused returns the error for an answer that is not 200. It reads the body.
func refused(endpoint *url.URL, response *http.Response) error {
	e := newStatusError(endpoint, response)
	problem := readProblem(response)
	e.Reason = problem.Reason
	kind, fix := bundle.FetchPermanent, ""
	switch code := e.StatusCode; {
	case code == http.StatusUnauthorized:
		kind, fix = refusedToken(problem)
	case code == http.StatusNotModified:
		e.Reason = reasonUnasked
		kind, fix = bundle.FetchUnavailable, "nothing was fetched before: check what caches answers on the way to the platform"
	case code == http.StatusBadRequest:
		fix = "check the name of the runner, and that the URL is a platform's"
	case code == http.StatusForbidden:
		fix = "the platform does not allow this runner: check there what its token may do and from where"
	case code == http.StatusNotFound, code == http.StatusGone, code == http.StatusMethodNotAllowed:
		fix = "no platform is there: check the base URL, which goes without " + wire.BootstrapPath
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		kind, fix = bundle.FetchUnavailable, "ask again later"
	case code >= 500:
		kind, fix = bundle.FetchUnavailable, "ask again later; if it lasts, look at the platform"
	case code >= 400:
		fix = "check the URL, and what stands between this machine and the platform"
	default:
		kind, fix = bundle.FetchUnavailable, "this is not a platform's answer: check the URL"
	}
	return e.failure(kind, fix)
}

// refusedToken says what a 401 means. One that is not the platform's, but a
// proxy's say, tells nothing about the token.
func refusedToken(problem wire.Refusal) (bundle.FetchKind, string) {
	if problem.Type == wire.TokenProblem {
		switch problem.Reason {
		case wire.ReasonRevoked:
			return bundle.FetchRevoked, "the token was revoked: issue a new one on the platform"
		case wire.ReasonExpired:
			return bundle.FetchRevoked, "the token has expired: issue a new one on the platform"
		case wire.ReasonUnknown:
			return bundle.FetchRevoked, "the platform does not have this token: check that it was issued there, or issue a new one"
		case wire.ReasonMissing:
			return bundle.FetchPermanent, "the token did not arrive: check that nothing on the way removes the Authorization header"
		case wire.ReasonMalformed:
			return bundle.FetchPermanent, "the token arrived changed: check what stands between this machine and the platform"
		}
	}
	return bundle.FetchUnavailable, "this does not come from a platform that knows the token: check the URL, and the proxy if there is one"
}

// readProblem returns what is plain in a problem document (RFC 9457): its type
// and a reason of one word. Whatever else came leaves them empty.
func readProblem(response *http.Response) wire.Refusal {
	data, err := io.ReadAll(io.LimitReader(response.Body, wire.MaxRefusal+1))
	var said wire.Refusal
	if err != nil || len(data) > wire.MaxRefusal || json.Unmarshal(data, &said) != nil {
		return wire.Refusal{}
	}
	var plain wire.Refusal
	switch said.Type {
	case wire.TokenProblem, wire.RequestProblem, wire.NotAllowedProblem, wire.UnavailableProblem, wire.IntegrityProblem:
		plain.Type = said.Type
	}
	if plainWord(said.Reason) {
		plain.Reason = said.Reason
	}
	return plain
}

// plainWord reports whether s can be shown: a short word of small letters,
// with hyphens inside, has no room for a token or a value.
func plainWord(s string) bool {
	const longest = 24
	for i := range len(s) {
		if letter := s[i] >= 'a' && s[i] <= 'z'; !letter && (s[i] != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != "" && len(s) <= longest
}

// retryAfter returns what a Retry-After header asks for, in seconds or as a
// date (RFC 9110, section 10.2.3): at most maxRetryAfter and not less than
// zero. A date counts from the server's own.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return maxRetryAfter // more digits than there is patience
		}
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
