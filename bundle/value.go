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

// redacted is what a Value prints, by every route.
const redacted = "[REDACTED]"

// Value is a sensitive string. The zero Value is the empty string.
//
// Printing, logging or encoding a Value gives "[REDACTED]". Values are not
// comparable with ==; see [Value.Equal]. They are safe for concurrent use.
type Value struct {
	// A closure rather than a string: fmt reads unexported fields without
	// calling methods, and would print a string.
	reveal func() string
}

// NewValue returns a Value that holds s.
func NewValue(s string) Value {
	return Value{reveal: func() string { return s }}
}

// Reveal returns the string itself. It is the only way to read it.
func (v Value) Reveal() string {
	if v.reveal == nil {
		return ""
	}
	return v.reveal()
}

// Equal reports whether v and w hold the same string. The time it takes
// depends on their lengths only.
func (v Value) Equal(w Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(w.Reveal())) == 1
}

// Preview returns a masked form that is safe to show to whoever may know that
// the secret exists, such as "sk-a****abcd". It never shows more than a
// quarter of the value, and always four stars, so that it does not tell the
// length:
//
//   - 32 bytes or more: the first and the last 4
//   - 16 to 31 bytes: the first and the last 2
//   - shorter, of several lines, or with unprintable characters where it would
//     be shown: only the stars
//
// It cuts at rune boundaries, and then shows less.
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

// Format implements [fmt.Formatter]: every verb gives "[REDACTED]".
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String returns "[REDACTED]".
func (v Value) String() string { return redacted }

// GoString returns "[REDACTED]".
func (v Value) GoString() string { return redacted }

// LogValue returns "[REDACTED]".
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[REDACTED]".
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "[REDACTED]" as a JSON string.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// UnmarshalJSON takes a JSON string, so that secrets can stay Values in a
// structure that is read from JSON. It takes nothing else, and not "[REDACTED]",
// which stands where a Value was written. The error holds nothing of the input.
func (v *Value) UnmarshalJSON(data []byte) error {
	var s *string
	if err := json.Unmarshal(data, &s); err != nil || s == nil {
		return errors.New("a secret's value is not a JSON string")
	}
	if *s == redacted {
		return errors.New("a secret's value was left out where this JSON was written")
	}
	*v = NewValue(*s)
	return nil
}
