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

// StatusError reports an unexpected HTTP response. Package providers exports it.
type StatusError struct {
	// Method is the method of the request.
	Method string
	// URL is the URL of the request, without user, query and fragment.
	URL string
	// StatusCode is the status of the response.
	StatusCode int
	// Reason is one word that refines the status, or empty. Package providers
	// lists the words.
	Reason string
	// RetryAfter is the delay that the server requested, at most an hour, or
	// zero.
	RetryAfter time.Duration
}

// Reasons of a StatusError that several providers set.
const (
	ReasonMalformed     = "malformed-answer" // a 2xx response without a valid body
	reasonNotJSON       = "not-json"
	reasonTooLarge      = "answer-too-large"
	reasonTooSlow       = "answer-too-slow"
	reasonCut           = "answer-cut"
	ReasonUnasked       = "unasked-unchanged" // a 304 for an unconditional request
	reasonOtherOrigin   = "redirect-to-other-origin"
	reasonNoTarget      = "redirect-without-target"
	reasonOtherMethod   = "redirect-changes-method"
	reasonManyRedirects = "too-many-redirects"
)

// MaxRetryAfter is the upper limit of RetryAfter.
const MaxRetryAfter = time.Hour

// MaxForeignRetry is the upper limit of RetryAfter for a response that is not the
// peer's: a server in between, such as a proxy with a page for maintenance, cannot keep
// a client away for longer than the client's own back-off.
const MaxForeignRetry = 50 * time.Second

// Error formats the fields, such as "GET https://host/x: status 503 Service
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

// Status returns the error for a response to c. Its URL is that of the call, not
// of a redirect.
func (c *Call) Status(response *http.Response) *StatusError {
	return &StatusError{
		Method: c.Method, URL: c.URL.String(), StatusCode: response.StatusCode,
		RetryAfter: retryAfter(response.Header, time.Now()),
	}
}

// Unusable returns an unavailable [*bundle.FetchError] for an invalid response.
func (c *Call) Unusable(response *http.Response, reason, fix string) error {
	return c.unusable(response, reason, &bundle.Fault{Fix: fix})
}

func (c *Call) unusable(response *http.Response, reason string, advice *bundle.Fault) error {
	e := c.Status(response)
	e.Reason = reason
	e.RetryAfter = min(e.RetryAfter, MaxForeignRetry)
	return failure(e, bundle.FetchUnavailable, advice)
}

// Failure wraps e in a [*bundle.FetchError] of a kind. fix may refer to settings, as
// the Fix of a [bundle.Fault] does.
func Failure(e *StatusError, kind bundle.FetchKind, fix string) error {
	return failure(e, kind, &bundle.Fault{Fix: fix})
}

// failure sets fields of advice.
func failure(e *StatusError, kind bundle.FetchKind, advice *bundle.Fault) error {
	advice.Err, advice.Retryable = e, kind == bundle.FetchUnavailable
	return &bundle.FetchError{Kind: kind, RetryAfter: e.RetryAfter, Err: advice}
}

// KindOf returns the kind and the fix for a status without a specific meaning.
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

// NotFrom returns the kind and the fix for a response that p did not send, such as a
// proxy's page. Its status says nothing about the credentials, so that it is never
// permanent.
func (p Peer) NotFrom(code int) (bundle.FetchKind, string) {
	kind, fix := p.KindOf(code)
	if kind == bundle.FetchPermanent {
		fix = fmt.Sprintf("the response is not from %s: check the URL and any proxy between this machine and %s", p.Name, p.Name)
	}
	return bundle.FetchUnavailable, fix
}

// PlainWord reports whether s is safe to show: a word of at most 24 lower-case
// letters and inner hyphens cannot contain a token or a value.
func PlainWord(s string) bool {
	const longest = 24
	for i := range len(s) {
		if letter := s[i] >= 'a' && s[i] <= 'z'; !letter && (s[i] != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != "" && len(s) <= longest
}

// retryAfter returns the delay of a Retry-After header in seconds or as a date
// (RFC 9110, section 10.2.3), between zero and MaxRetryAfter. A date is relative
// to the server's Date.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return MaxRetryAfter // the number overflows
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

// Permanent wraps err in a [*bundle.FetchError] of the kind permanent.
func Permanent(err error) error {
	return &bundle.FetchError{Kind: bundle.FetchPermanent, Err: err}
}

// Unavailable wraps err in a [*bundle.FetchError] of the kind unavailable. It sets
// Retryable if err is a [*bundle.Fault].
func Unavailable(err error) error {
	if f, ok := err.(*bundle.Fault); ok {
		f.Retryable = true
	}
	return &bundle.FetchError{Kind: bundle.FetchUnavailable, Err: err}
}

// Kind returns the kind of a [*bundle.FetchError], and unavailable for other errors.
func Kind(err error) bundle.FetchKind {
	if e, ok := errors.AsType[*bundle.FetchError](err); ok {
		return e.Kind
	}
	return bundle.FetchUnavailable
}

// OrEnd returns err, or the error of ctx if that has ended, because it is then
// probably the cause of err. Its text starts with the provider, who.
func OrEnd(ctx context.Context, who fmt.Stringer, err error) error {
	if ctx.Err() != nil {
		return Unavailable(fmt.Errorf("%s: %w", who, ctx.Err()))
	}
	return err
}

// PassedOn wraps the error of a function that the caller supplied, and keeps its
// kind and RetryAfter. doing describes the operation.
func PassedOn(doing string, err error) error {
	failed := &bundle.FetchError{Err: fmt.Errorf("%s: %w", doing, err)}
	if inner, ok := errors.AsType[*bundle.FetchError](err); ok {
		failed.Kind, failed.RetryAfter, failed.Confirm = inner.Kind, inner.RetryAfter, inner.Confirm
	}
	return failed
}
