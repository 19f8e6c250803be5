package dotenv

import (
	"fmt"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
)

// Append appends the entries to the content of a file, each on one or more new
// lines, and returns the result; it does not change the bytes of dst. [Parse] and
// a POSIX shell read the same values back, except for names that the shell
// reserves. Line and EndLine of the entries are ignored.
//
// Append fails, and returns dst unchanged, if a name or value breaks the rules of
// package bundle, if a name occurs twice among the entries, or if the result is
// longer than [MaxSize]. It does not parse dst.
func Append(dst []byte, entries ...Entry) ([]byte, error) {
	seen := map[string]bool{}
	for _, e := range entries {
		if err := bundle.CheckName(e.Name); err != nil {
			return dst, fmt.Errorf("writing a .env file: %w", err)
		}
		if err := bundle.CheckValue(e.Value); err != nil {
			return dst, fmt.Errorf("writing a .env file: %s: %w", e.Name, err)
		}
		if seen[e.Name] {
			return dst, fmt.Errorf("writing a .env file: %s occurs twice; remove one", e.Name)
		}
		seen[e.Name] = true
	}
	out := slices.Clone(dst)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	for _, e := range entries {
		out = append(out, e.Name...)
		out = append(out, '=')
		out = append(out, quote(e.Value.Reveal())...)
		out = append(out, '\n')
	}
	if len(out) > MaxSize {
		return dst, fmt.Errorf("writing a .env file: it would have %d bytes; at most %d are allowed", len(out), MaxSize)
	}
	return out, nil
}

// doubleQuoted escapes the characters that are special to a shell in double
// quotes. Newlines stay, because a shell does not know \n there.
var doubleQuoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`")

// quote returns s as written to a file: bare if unambiguous, else in single
// quotes if possible, else in double quotes.
func quote(s string) string {
	switch {
	case strings.IndexFunc(s, isUnsafe) < 0:
		return s
	case !strings.Contains(s, `'`):
		return `'` + s + `'`
	}
	return `"` + doubleQuoted.Replace(s) + `"`
}

// isUnsafe reports whether r could be special to a shell or a parser of .env
// files outside quotes. A tilde is, even inside a word.
func isUnsafe(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("_-./:@%+,", r)
}
