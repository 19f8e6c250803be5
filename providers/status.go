package providers

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

// StatusError is an HTTP answer other than the one that was wanted. It holds
// nothing of the answer's body but Reason.
type StatusError struct {
	Method string
	// URL is the one that was asked, without user, query and fragment.
	URL        string
	StatusCode int
	// Reason is a word that says more than the status. For a refused runner
	// token it is "missing", "malformed", "unknown", "revoked" or "expired";
	// for an answer that cannot be used "malformed-answer", "not-json",
	// "answer-too-large", "answer-too-slow", "answer-cut" or
	// "unasked-unchanged"; for a redirect "redirect-to-other-origin",
	// "redirect-without-target", "redirect-changes-method" or
	// "too-many-redirects"; from GitHub "app-key", "clock", "suspended",
	// "rate-limit", "repositories" or "permissions"; from Bitbucket an error
	// code of RFC 6749, section 5.2; or another word that the server gave. It
	// may be empty.
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
	reasonOtherMethod   = "redirect-changes-method"
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

// statusError returns the error for a response to c. It does not take the URL
// of the response, which a redirect may have given.
func (c *call) statusError(response *http.Response) *StatusError {
	return &StatusError{
		Method: c.method, URL: c.url.String(), StatusCode: response.StatusCode,
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

// kindOf says how to go on after a status that has no meaning of its own, and
// what to do.
func (p peer) kindOf(code int) (bundle.FetchKind, string) {
	switch {
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return bundle.FetchUnavailable, "ask again later"
	case code >= 500:
		return bundle.FetchUnavailable, "ask again later; if it lasts, look at " + p.name
	case code >= 400:
		return bundle.FetchPermanent, "check the URL, and what stands between this machine and " + p.name
	}
	return bundle.FetchUnavailable, fmt.Sprintf("this is not %s: check the URL", p.answer)
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

// mendable is an error with what to do about it.
type mendable struct {
	err error
	fix string
	tls bool // the connection was made, and then not trusted
}

func (e *mendable) Error() string { return e.err.Error() + "; " + e.fix }

func (e *mendable) Unwrap() error { return e.err }

func permanent(err error) error {
	return &bundle.FetchError{Kind: bundle.FetchPermanent, Err: err}
}

func unavailable(err error) error {
	return &bundle.FetchError{Kind: bundle.FetchUnavailable, Err: err}
}

// orEnd returns err, or the error for the end of ctx, which may well be what is
// behind err. who was at work.
func orEnd(ctx context.Context, who fmt.Stringer, err error) error {
	if ctx.Err() != nil {
		return unavailable(fmt.Errorf("%s: %w", who, ctx.Err()))
	}
	return err
}

// passedOn returns the error of a function of the caller's, with the kind that
// it has.
func passedOn(doing string, err error) error {
	failed := &bundle.FetchError{Err: fmt.Errorf("%s: %w", doing, err)}
	if inner, ok := errors.AsType[*bundle.FetchError](err); ok {
		failed.Kind, failed.RetryAfter = inner.Kind, inner.RetryAfter
	}
	return failed
}
