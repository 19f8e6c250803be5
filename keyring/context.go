package keyring

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// Limits of a [Context].
const (
	maxContextPairs = 32
	maxContextPart  = 1024
	maxContextSize  = 4096
)

// A Context is the public data that a ciphertext is bound to: the ciphertext opens
// only under the same pairs. It is not secret; key services write it to their
// audit logs. A nil Context is an empty one.
//
// A Context has at most 32 pairs. Keys are not empty. Keys and values are valid
// UTF-8 of at most 1,024 bytes each. The encoding has at most 4,096 bytes. A
// Context outside these limits is rejected with a [*ContextError].
type Context map[string]string

// A ContextError reports why a [Context] is invalid. It wraps [ErrMalformed].
type ContextError struct {
	// Key is the key of the invalid pair, of any length. Empty if the key is empty
	// or the Context as a whole is outside its limits.
	Key string
	// Problem describes the error in a few words, without the value.
	Problem string
}

// Error names the key, cut to 64 characters, and never the value.
func (e *ContextError) Error() string {
	if e.Key == "" {
		return "context: " + e.Problem
	}
	return fmt.Sprintf("context key %.64q: %s", e.Key, e.Problem)
}

// Unwrap returns [ErrMalformed].
func (e *ContextError) Unwrap() error { return ErrMalformed }

// Encode returns the canonical encoding (docs/format.md, "Contexts"): a 16-bit
// count, then each key and value with a 16-bit length before it, sorted by the
// bytes of the keys. Two contexts have the same encoding only if they are equal.
// The error is a [*ContextError].
func (c Context) Encode() ([]byte, error) { return c.AppendTo(nil) }

// AppendTo appends the encoding that [Context.Encode] returns to dst. For up to
// eight pairs it allocates only to grow dst. On error it returns nil.
func (c Context) AppendTo(dst []byte) ([]byte, error) {
	if len(c) > maxContextPairs {
		return nil, &ContextError{Problem: fmt.Sprintf("%d pairs; at most %d are allowed", len(c), maxContextPairs)}
	}
	// An insertion sort into an array, so that a small context needs no
	// allocation.
	var array [8]contextPair
	pairs := array[:0]
	size := 2
	for key, value := range c {
		if problem := pairProblem(key, value); problem != "" {
			return nil, &ContextError{Key: key, Problem: problem}
		}
		size += 4 + len(key) + len(value)
		pairs = append(pairs, contextPair{})
		i := len(pairs) - 1
		for ; i > 0 && pairs[i-1].key > key; i-- {
			pairs[i] = pairs[i-1]
		}
		pairs[i] = contextPair{key, value}
	}
	if size > maxContextSize {
		return nil, &ContextError{Problem: fmt.Sprintf("%d bytes encoded; at most %d are allowed", size, maxContextSize)}
	}

	dst = slices.Grow(dst, size)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(pairs)))
	for _, p := range pairs {
		dst = appendShort(dst, p.key)
		dst = appendShort(dst, p.value)
	}
	return dst, nil
}

type contextPair struct{ key, value string }

// pairProblem describes the error in one pair. It returns "" for a valid pair.
func pairProblem(key, value string) string {
	switch {
	case key == "":
		return "the key is empty"
	case len(key) > maxContextPart:
		return fmt.Sprintf("the key has %d bytes; at most %d are allowed", len(key), maxContextPart)
	case len(value) > maxContextPart:
		return fmt.Sprintf("the value has %d bytes; at most %d are allowed", len(value), maxContextPart)
	case !utf8.ValidString(key):
		return "the key is not valid UTF-8"
	case !utf8.ValidString(value):
		return "the value is not valid UTF-8"
	}
	return ""
}

// appendShort appends the length of s in 16 bits, and s. Callers have checked that
// the length fits.
func appendShort[T string | []byte](dst []byte, s T) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

// A shape is a set of context keys, checked and encoded once. It encodes a context
// with these keys without sorting.
type shape []shapeField

type shapeField struct {
	key    string
	before []byte // the bytes before the length of the value
}

// newShape returns the shape of a context that is within its limits.
func newShape(c Context) *shape {
	var s shape
	before := binary.BigEndian.AppendUint16(nil, uint16(len(c)))
	for _, key := range slices.Sorted(maps.Keys(c)) {
		s = append(s, shapeField{key, appendShort(before, key)})
		before = nil
	}
	return &s
}

// appendTo appends the encoding of c. It reports false if c has other keys or is
// outside the limits.
func (s shape) appendTo(dst []byte, c Context) ([]byte, bool) {
	if len(c) != len(s) {
		return nil, false
	}
	begin := len(dst)
	for i := range s {
		value, ok := c[s[i].key]
		if !ok || len(value) > maxContextPart || !utf8.ValidString(value) {
			return nil, false
		}
		dst = append(dst, s[i].before...)
		dst = appendShort(dst, value)
	}
	return dst, len(dst)-begin <= maxContextSize
}
