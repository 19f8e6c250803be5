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
	// ErrNotFound is matched by an [*Error] for a secret, version or token that
	// the platform does not have.
	ErrNotFound = errors.New("not found")
	// ErrConflict is matched by an [*Error] for a write whose condition failed or
	// that conflicted with a concurrent write. Nothing was written.
	ErrConflict = errors.New("conflict")
)

// Error reports an unexpected response, of which it contains only the text of
// the platform's problem document (RFC 9457), and omits that if it contains a part
// of the value that was sent or of the caller's credentials. Runner tokens in it are
// replaced.
type Error struct {
	// Method is the method of the request.
	Method string
	// URL is the URL of the request, without its query.
	URL string
	// StatusCode is the status of the response.
	StatusCode int
	// Type is the problem's type, such as "urn:satchel:problem:conflict". It
	// is empty if the response is not from a platform.
	Type string
	// Title and Detail describe the problem. Either may be empty.
	Title, Detail string
	// RetryAfter is the delay that the platform requested, at most an hour, or
	// zero.
	RetryAfter time.Duration
}

// Error formats the fields, such as "PUT https://host/v1/secrets/A: status 404 Not
// Found: TITLE: DETAIL".
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

// Is makes errors.Is match [ErrNotFound] and [ErrConflict] by Type.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Type == wire.NotFoundProblem
	case ErrConflict:
		return e.Type == wire.ConflictProblem
	}
	return false
}

// unusable returns e for an invalid response with a 2xx status.
func (e *Error) unusable(fault string) error {
	e.Title, e.Detail = fault, "check the URL and any proxy between this machine and the platform"
	return e
}

// read sets the fields from a problem document. It omits text that contains a part of
// hidden.
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

// maxShown is the maximum length of text from a problem document, in bytes.
const maxShown = 1024

// telling is the length of a substring that reveals a hidden text, in bytes.
const telling = 6

// shown returns text in a form that is safe to show. It returns the empty string if
// text shares telling bytes with a hidden text or contains a shorter one, because a
// server or proxy may quote the request.
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

// plain makes all text in a response safe to show and log. answer is a pointer to
// structs, lists and strings; a [secret] is left unchanged.
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

// secret is a string in a response that must not be shown.
type secret string

// retryAfter returns the seconds of a Retry-After header, at most an hour (RFC 9110,
// section 10.2.3). A platform sends no dates.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, time.Hour)
}
