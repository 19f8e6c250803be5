package redact

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Error returns err if its text has no match, and otherwise an error with the
// masked text. [errors.Is] works on the masked error as on err. [errors.As] does
// not find err or its causes, because they could be printed; it finds the masked
// error itself as a [net.Error], with the Timeout and Temporary results of err.
// Error returns nil for nil.
//
// It is meant for errors that quote their input, such as the URL in the errors of
// [net/http.Client].
func (r *Redactor) Error(err error) error {
	if err == nil {
		return nil
	}
	return r.core().matcher().maskError(err)
}

func (m *matcher) maskError(err error) error {
	if !slices.ContainsFunc(renderings(err), m.matches) {
		return err
	}
	return &maskedError{
		text:   m.mask(fmt.Sprint(err)), // fmt recovers from an Error method that panics
		detail: m.mask(fmt.Sprintf("%+v", err)),
		cause:  func() error { return err },
	}
}

// matches reports whether text has a match.
func (m *matcher) matches(text string) bool { return m.mask(text) != text }

// maskedError replaces an error whose text has a match.
type maskedError struct {
	text, detail string
	cause        func() error // a closure: see Redactor
}

func (e *maskedError) Error() string        { return e.text }
func (e *maskedError) Is(target error) bool { return errors.Is(e.cause(), target) }

func (e *maskedError) Timeout() bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](e.cause())
	return ok && t.Timeout()
}

func (e *maskedError) Temporary() bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](e.cause())
	return ok && t.Temporary()
}

// Format implements [fmt.Formatter], because the cause may print more for %+v.
func (e *maskedError) Format(f fmt.State, verb rune) {
	text := e.text
	if verb == 'v' && f.Flag('+') {
		text = e.detail
	} else if verb == 'q' {
		text = strconv.Quote(text)
	}
	_, _ = io.WriteString(f, text)
}

// renderings returns the texts that loggers make of x: first its JSON, last its
// %+v. They include the texts of failures, which the handlers of package slog print
// instead of the value.
func renderings(x any) []string {
	texts := safely(func() ([]byte, error) { return json.Marshal(x) })
	if t, ok := x.(encoding.TextMarshaler); ok {
		texts = append(texts, safely(t.MarshalText)...)
	}
	return append(texts, fmt.Sprint(x), fmt.Sprintf("%+v", x))
}

// safely returns the result of f or the text of its failure or panic: f calls
// methods of arbitrary logged values.
func safely(f func() ([]byte, error)) (texts []string) {
	defer func() {
		if failure := recover(); failure != nil {
			texts = []string{"", fmt.Sprint(failure)}
		}
	}()
	b, err := f()
	if err != nil {
		return []string{"", err.Error()}
	}
	return []string{string(b)}
}
