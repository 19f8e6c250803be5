package keyringtest

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/keyring"
)

// rewrites returns broken KEKs that bind a rewritten context.
func rewrites(rewritten func(keyring.Context) keyring.Context) func(id string) keyring.KEK {
	return func(id string) keyring.KEK {
		b := newBroken(id)
		b.wrap = func(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
			return b.Fake.Wrap(ctx, dek, rewritten(c))
		}
		b.unwrap = func(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
			return b.Fake.Unwrap(ctx, w, rewritten(c))
		}
		return b
	}
}

// endSize is the number of bytes that KEKs with incomplete binding bind.
const endSize = 64

func beginning(c keyring.Context) keyring.Context {
	return encodedAs(c, beginningOf)
}

func bothEnds(c keyring.Context) keyring.Context {
	return encodedAs(c, func(s string) string { return beginningOf(s) + s[max(0, len(s)-endSize):] })
}

func beginningOf(s string) string { return s[:min(endSize, len(s))] }

// encodedAs returns a context whose value is a part of the encoding of c.
func encodedAs(c keyring.Context, part func(string) string) keyring.Context {
	encoded, err := c.Encode()
	if err != nil {
		return c
	}
	return keyring.Context{"encoded": strings.ToValidUTF8(part(string(encoded)), "?")}
}

func firstPairs(c keyring.Context) keyring.Context {
	first := keyring.Context{}
	for _, key := range slices.Sorted(maps.Keys(c))[:min(16, len(c))] {
		first[key] = c[key]
	}
	return first
}

func values(rewritten func(string) string) func(keyring.Context) keyring.Context {
	return func(c keyring.Context) keyring.Context {
		other := keyring.Context{}
		for key, value := range c {
			other[key] = rewritten(value)
		}
		return other
	}
}

func keys(rewritten func(string) string) func(keyring.Context) keyring.Context {
	return func(c keyring.Context) keyring.Context {
		other := keyring.Context{}
		for key, value := range c {
			other[rewritten(key)] = value
		}
		return other
	}
}

func trimEnd(s string) string { return strings.TrimRight(s, " ") }

func untilZero(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}
