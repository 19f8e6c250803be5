package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// StatusError is that of package providers, for all packages below it.
type StatusError struct {
	Method string
	// URL is the one that was asked, without user, query and fragment.
	URL        string
	StatusCode int
	// Reason is a word that says more than the status, or empty. Package
	// providers lists the words.
	Reason string
	// RetryAfter is how long the server asked to be left alone, at most an
	// hour, or zero.
	RetryAfter time.Duration
}

// Reasons of a StatusError that several providers give.
const (
	ReasonMalformed     = "malformed-answer"
	reasonNotJSON       = "not-json"
	reasonTooLarge      = "answer-too-large"
	reasonTooSlow       = "answer-too-slow"
	reasonCut           = "answer-cut"
	ReasonUnasked       = "unasked-unchanged"
	reasonOtherOrigin   = "redirect-to-other-origin"
	reasonNoTarget      = "redirect-without-target"
	reasonOtherMethod   = "redirect-changes-method"
	reasonManyRedirects = "too-many-redirects"
)

// MaxRetryAfter bounds how long a server can ask to be left alone.
const MaxRetryAfter = time.Hour

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

// Status returns the error for a response to c. It does not take the URL of the
// response, which a redirect may have given.
func (c *Call) Status(response *http.Response) *StatusError {
	return &StatusError{
		Method: c.Method, URL: c.URL.String(), StatusCode: response.StatusCode,
		RetryAfter: retryAfter(response.Header, time.Now()),
	}
}

// Unusable returns the error for a response that cannot be used for a reason, as
// a failure that may go away.
func (c *Call) Unusable(response *http.Response, reason, fix string) error {
	return c.unusable(response, reason, &bundle.Fault{Fix: fix})
}

func (c *Call) unusable(response *http.Response, reason string, advice *bundle.Fault) error {
	e := c.Status(response)
	e.Reason = reason
	return failure(e, bundle.FetchUnavailable, advice)
}

// Failure returns e as an error that says how to go on. fix may refer to
// settings, as that of a [bundle.Fault] does.
func Failure(e *StatusError, kind bundle.FetchKind, fix string) error {
	return failure(e, kind, &bundle.Fault{Fix: fix})
}

// failure takes advice for its own.
func failure(e *StatusError, kind bundle.FetchKind, advice *bundle.Fault) error {
	advice.Err, advice.Retryable = e, kind == bundle.FetchUnavailable
	return &bundle.FetchError{Kind: kind, RetryAfter: e.RetryAfter, Err: advice}
}

// KindOf says how to go on after a status that has no meaning of its own, and
// what to do.
func (p Peer) KindOf(code int) (bundle.FetchKind, string) {
	switch {
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return bundle.FetchUnavailable, "try again later"
	case code >= 500:
		return bundle.FetchUnavailable, "try again later; if it persists, check " + p.Name
	case code >= 400:
		return bundle.FetchPermanent, "check the URL and any proxy between this machine and " + p.Name
	}
	return bundle.FetchUnavailable, fmt.Sprintf("the response is not %s: check the URL", p.Answer)
}

// PlainWord reports whether s can be shown: a short word of small letters,
// with hyphens inside, has no room for a token or a value.
func PlainWord(s string) bool {
	const longest = 24
	for i := range len(s) {
		if letter := s[i] >= 'a' && s[i] <= 'z'; !letter && (s[i] != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != "" && len(s) <= longest
}

// retryAfter returns what a Retry-After header asks for, in seconds or as a
// date (RFC 9110, section 10.2.3): at most MaxRetryAfter and not less than
// zero. A date counts from the server's own.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return MaxRetryAfter // more digits than there is patience
		}
		return min(time.Duration(seconds)*time.Second, MaxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

// Permanent returns a failure that needs a fix.
func Permanent(err error) error {
	return &bundle.FetchError{Kind: bundle.FetchPermanent, Err: err}
}

// Unavailable returns a failure that may go away. It marks a fault as such.
func Unavailable(err error) error {
	if f, ok := err.(*bundle.Fault); ok {
		f.Retryable = true
	}
	return &bundle.FetchError{Kind: bundle.FetchUnavailable, Err: err}
}

// OrEnd returns err, or the error for the end of ctx, which may well be what is
// behind err. who was at work.
func OrEnd(ctx context.Context, who fmt.Stringer, err error) error {
	if ctx.Err() != nil {
		return Unavailable(fmt.Errorf("%s: %w", who, ctx.Err()))
	}
	return err
}

// PassedOn returns the error of a function of the caller's, with the kind that
// it has.
func PassedOn(doing string, err error) error {
	failed := &bundle.FetchError{Err: fmt.Errorf("%s: %w", doing, err)}
	if inner, ok := errors.AsType[*bundle.FetchError](err); ok {
		failed.Kind, failed.RetryAfter = inner.Kind, inner.RetryAfter
	}
	return failed
}
