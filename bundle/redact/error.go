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

// Error returns err, or, where its text holds a match, an error with the text
// masked. [errors.Is] finds in that one what it finds in err; [errors.As] finds
// nothing of err, because what it returns could be printed. Timeout and Temporary
// answer as those of err do. A nil error gives nil.
//
// It is meant for errors that quote what they were about, such as the URL in
// the errors of [net/http.Client].
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
		text:   m.mask(fmt.Sprint(err)), // fmt survives an Error method that panics
		detail: m.mask(fmt.Sprintf("%+v", err)),
		cause:  func() error { return err },
	}
}

// matches reports whether text has anything to mask.
func (m *matcher) matches(text string) bool { return m.mask(text) != text }

// maskedError stands for an error whose text held a match.
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

// Format implements [fmt.Formatter]: the cause may have more to say to %+v.
func (e *maskedError) Format(f fmt.State, verb rune) {
	text := e.text
	if verb == 'v' && f.Flag('+') {
		text = e.detail
	} else if verb == 'q' {
		text = strconv.Quote(text)
	}
	_, _ = io.WriteString(f, text)
}

// renderings returns the texts that loggers make of x: its JSON first, what
// %+v makes of it last. In between are those of failures too, which handlers of
// package slog print in place of what failed.
func renderings(x any) []string {
	texts := safely(func() ([]byte, error) { return json.Marshal(x) })
	if t, ok := x.(encoding.TextMarshaler); ok {
		texts = append(texts, safely(t.MarshalText)...)
	}
	return append(texts, fmt.Sprint(x), fmt.Sprintf("%+v", x))
}

// safely returns what f does, and how it fails or panics: the methods are those
// of whatever is logged.
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
