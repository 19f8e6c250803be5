package bundle

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

// redacted is the text that a Value prints in every case.
const redacted = "[REDACTED]"

// Value is a sensitive string. The zero Value is the empty string.
//
// Printing, logging or encoding a Value yields "[REDACTED]". Values cannot be
// compared with ==; use [Value.Equal]. They are safe for concurrent use.
type Value struct {
	// A closure rather than a string: fmt reads unexported fields without
	// calling methods, and would print a string.
	reveal func() string
}

// NewValue returns a Value that holds s.
func NewValue(s string) Value {
	return Value{reveal: func() string { return s }}
}

// Reveal returns the plaintext. It is the only way to read it.
func (v Value) Reveal() string {
	if v.reveal == nil {
		return ""
	}
	return v.reveal()
}

// Equal reports whether v and w hold the same string. Its running time depends
// only on their lengths.
func (v Value) Equal(w Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(w.Reveal())) == 1
}

// Preview returns a masked form, such as "sk-a****abcd", that is safe to show
// to anyone who may know that the secret exists. It shows at most a quarter of
// the value, and always four stars so that it does not reveal the length:
//
//   - 32 bytes or more: the first and last 4 bytes
//   - 16 to 31 bytes: the first and last 2 bytes
//   - shorter or multi-line values, and values with unprintable characters in
//     the shown part: only the stars
//
// It never splits a rune; it shows fewer bytes instead.
func (v Value) Preview() string {
	const stars = "****"
	s := v.Reveal()
	shown := 0
	switch {
	case len(s) >= 32:
		shown = 4
	case len(s) >= 16:
		shown = 2
	}
	if strings.ContainsAny(s, "\r\n") {
		return stars
	}
	head, tail := shown, len(s)-shown
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	for tail < len(s) && !utf8.RuneStart(s[tail]) {
		tail++
	}
	preview := s[:head] + stars + s[tail:]
	for _, r := range preview {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return stars
		}
	}
	return preview
}

// Format implements [fmt.Formatter]: every verb prints "[REDACTED]".
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String returns "[REDACTED]", as [fmt.Stringer].
func (v Value) String() string { return redacted }

// GoString returns "[REDACTED]", as [fmt.GoStringer].
func (v Value) GoString() string { return redacted }

// LogValue returns "[REDACTED]", as [slog.LogValuer].
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[REDACTED]" and never an error.
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "[REDACTED]" as a JSON string, and never an error.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// UnmarshalJSON sets v to a JSON string, so that a structure read from JSON can
// hold its secrets as Values. It rejects everything else, including
// "[REDACTED]", the text that MarshalJSON writes. The error contains no part of
// the input, and v is then unchanged.
func (v *Value) UnmarshalJSON(data []byte) error {
	var s *string
	if err := json.Unmarshal(data, &s); err != nil || s == nil {
		return errors.New("secret value is not a JSON string")
	}
	if *s == redacted {
		return errors.New("secret value was redacted when this JSON was written")
	}
	*v = NewValue(*s)
	return nil
}
