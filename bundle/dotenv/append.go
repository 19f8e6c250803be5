package dotenv

import (
	"fmt"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
)

// Append appends the entries to a file's content, a line or more each, and
// returns the extended slice. [Parse] and a POSIX shell read the same values
// back, but for names that the shell keeps to itself. Lines and EndLines do not
// count.
//
// It fails, and returns dst as it was, if a name or a value breaks the rules
// of package bundle, if a name occurs twice among the entries, or if the
// result is longer than [MaxSize]. It does not look at what dst holds.
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
			return dst, fmt.Errorf("writing a .env file: %s occurs twice; remove one of the two", e.Name)
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
		return dst, fmt.Errorf("writing a .env file: it would have %d bytes; at most %d are read", len(out), MaxSize)
	}
	return out, nil
}

// Escapes only what a shell takes for special between double quotes. Lines
// stay lines: a shell knows no \n there.
var doubleQuoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`")

// quote returns s as it stands in a file: bare if nobody can misread it, else
// between single quotes, else between double quotes.
func quote(s string) string {
	switch {
	case strings.IndexFunc(s, isUnsafe) < 0:
		return s
	case !strings.Contains(s, `'`):
		return `'` + s + `'`
	}
	return `"` + doubleQuoted.Replace(s) + `"`
}

// isUnsafe reports whether r could mean something to a shell or a reader of
// .env files outside quotes. A tilde does, even inside a word.
func isUnsafe(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("_-./:@%+,", r)
}
