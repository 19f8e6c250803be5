package vault

import (
	"fmt"
	"strings"
)

const (
	maxSegments = 8
	maxSegment  = 63
)

// CheckScope returns nil if scope is a path of 1 to 8 segments, each
// [a-z0-9][a-z0-9_-]{0,62}, and otherwise an error that says which rule it
// breaks and is [ErrInvalid].
func CheckScope(scope string) error {
	segments := strings.Split(scope, "/")
	if len(segments) > maxSegments {
		return fmt.Errorf("%w: the scope has %d segments; at most %d are allowed", ErrInvalid, len(segments), maxSegments)
	}
	for i, s := range segments {
		if s == "" {
			return fmt.Errorf("%w: segment %d of the scope is empty; write it like acme/web/pool-a", ErrInvalid, i+1)
		}
		if len(s) > maxSegment {
			return fmt.Errorf("%w: segment %d of the scope has %d characters; at most %d are allowed", ErrInvalid, i+1, len(s), maxSegment)
		}
		for j, c := range s {
			if plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'; !plain && (j == 0 || c != '-' && c != '_') {
				return fmt.Errorf("%w: segment %d of the scope has %q; want a-z, 0-9, and - or _ after the first character", ErrInvalid, i+1, c)
			}
		}
	}
	return nil
}
