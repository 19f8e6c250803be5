package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/satchelhq/satchel/internal/wire"
)

var (
	// ErrNotFound is in the error of a request about a secret, a version or a
	// token that the platform does not have.
	ErrNotFound = errors.New("not found")
	// ErrConflict is in the error of a write whose condition does not hold,
	// and of one that gave way to other writes. Nothing was written.
	ErrConflict = errors.New("conflict")
)

// Error is an answer other than the one that was wanted. It holds nothing of
// the answer but the words of a platform's own problem document (RFC 9457),
// and not even those if they show a part of the value that was sent, of the
// caller's credentials or of a token.
type Error struct {
	Method string
	// URL is the one that was asked, without its query.
	URL        string
	StatusCode int
	// Type is the problem's type, such as "urn:satchel:problem:conflict". It
	// is empty if the answer is not a platform's.
	Type string
	// Title and Detail say in words what the problem is. Either may be empty.
	Title, Detail string
	// RetryAfter is how long the platform asked to be left alone, at most an
	// hour, or zero.
	RetryAfter time.Duration
}

// Error returns the fields, such as "PUT https://host/v1/secrets/A: status 412
// Precondition Failed: It is not as the request expects it: …".
func (e *Error) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s: status %d", e.Method, e.URL, e.StatusCode)
	if text := http.StatusText(e.StatusCode); text != "" {
		s.WriteString(" " + text)
	}
	for _, text := range []string{e.Title, e.Detail} {
		if text != "" {
			s.WriteString(": " + text)
		}
	}
	if e.RetryAfter > 0 {
		s.WriteString("; retry after " + e.RetryAfter.String())
	}
	return s.String()
}

// Is reports whether e is [ErrNotFound] or [ErrConflict].
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Type == wire.NotFoundProblem
	case ErrConflict:
		return e.Type == wire.ConflictProblem
	}
	return false
}

// unusable returns e for an answer that says yes and is not one.
func (e *Error) unusable(fault string) error {
	e.Title, e.Detail = fault, "check the URL and any proxy between this machine and the platform"
	return e
}

// read takes from a refusal what can be shown. hidden is what cannot.
func (e *Error) read(response *http.Response, hidden []string) {
	e.RetryAfter = retryAfter(response.Header.Get("Retry-After"))
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	data, err := io.ReadAll(io.LimitReader(response.Body, wire.MaxRefusal+1))
	var said wire.Refusal
	if kind == wire.ProblemType && err == nil && len(data) <= wire.MaxRefusal && json.Unmarshal(data, &said) == nil {
		switch said.Type {
		case wire.TokenProblem, wire.RequestProblem, wire.NotAllowedProblem, wire.UnavailableProblem, wire.IntegrityProblem,
			wire.TooManyProblem, wire.UnauthorizedProblem, wire.NotFoundProblem, wire.ConflictProblem:
			e.Type = said.Type
			e.Title, e.Detail = shown(said.Title, hidden), shown(said.Detail, hidden)
			return
		}
	}
	e.Title = "the response is not from a platform's admin API"
	e.Detail = "check the URL and any proxy between this machine and the platform"
	if e.StatusCode >= 300 && e.StatusCode < 400 {
		e.Title, e.Detail = "redirects are not followed", "if the platform has moved, set its new URL"
	}
}

// maxShown is the longest text of a problem that is shown, in bytes.
const maxShown = 1024

// telling is the length of what gives a hidden text away, in bytes.
const telling = 6

// shown returns text as far as it can be shown: nothing if it shares telling
// bytes with a hidden text, or holds the whole of a shorter one. A server, or
// what stands before it, may quote what it was sent.
func shown(text string, hidden []string) string {
	text = wire.Text(text, maxShown)
	for _, h := range hidden {
		if h == "" {
			continue
		}
		if len(h) < telling && strings.Contains(text, h) {
			return ""
		}
		for i := range max(len(text)-telling+1, 0) {
			if strings.Contains(h, text[i:i+telling]) {
				return ""
			}
		}
	}
	return text
}

// plain makes all text in an answer such as can be shown and logged. answer is
// a pointer to structs, lists and strings; a [secret] stays as it is.
func plain(answer any) { plainValue(reflect.ValueOf(answer).Elem()) }

func plainValue(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[secret]() || v.Type() == reflect.TypeFor[time.Time]():
	case v.Kind() == reflect.String:
		v.SetString(wire.Text(v.String(), maxShown))
	case v.Kind() == reflect.Struct:
		for _, field := range v.Fields() {
			plainValue(field)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			plainValue(v.Index(i))
		}
	}
}

// secret is a string of an answer that is not to be shown.
type secret string

// retryAfter returns what a Retry-After header asks for in seconds, at most an
// hour (RFC 9110, section 10.2.3). A platform sends no dates.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, time.Hour)
}
