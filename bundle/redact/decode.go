package redact

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"html"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decodings returns the texts that programs make of s if it is stored encoded: they
// unescape it, remove quotes, decode it, or restore the lines of a key.
func decodings(s string) []string {
	var all []string
	add := func(decoded string) {
		if decoded != s && len(decoded) >= minForm {
			all = append(all, decoded)
		}
	}
	if strings.Contains(s, `\`) {
		add(strings.NewReplacer(`\r\n`, "\n", `\n`, "\n").Replace(s))
		add(unescape(s, true))
		add(unescape(s, false))
	}
	if inner, ok := unquote(s); ok {
		add(inner)
	}
	if percentEncoded(s) {
		add(unpercent(s))
		add(unpercent(strings.ReplaceAll(s, "+", " ")))
	}
	if strings.Contains(s, "&") && strings.Contains(s, ";") {
		add(html.UnescapeString(s))
	}
	if lines, ok := pemLines(s); ok {
		add(lines)
	}
	if strings.Contains(s, "`n") { // as in PowerShell
		add(strings.NewReplacer("`r`n", "\n", "`n", "\n").Replace(s))
	}
	if decoded, _, ok := decodeBinary(s); ok && utf8.ValidString(decoded) && distinct(decoded) > 3 {
		add(decoded)
		return all
	}
	for _, decoded := range decodedWords(s) {
		add(decoded)
	}
	return all
}

// decodedWords returns the plain texts that are in base64 inside of s, such as the keys of a
// kubeconfig, or the user and password after "Basic". It leaves out the parts of
// JSON web tokens, whose claims are seldom secret.
func decodedWords(s string) (all []string) {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r > 0x7f || !isAlnum(byte(r)) && !strings.ContainsRune("+/-_.", r) }) {
		if len(word) < base64.RawStdEncoding.EncodedLen(minPart) || strings.Contains(word, ".") {
			continue
		}
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if b, err := encoding.DecodeString(word); err == nil && isPlain(b) && distinct(string(b)) > 3 {
				all = append(all, string(b))
				break
			}
		}
	}
	return all
}

// decodeBinary decodes s from an encoding that exists for any bytes: base 16, 32 or 64.
// ok is false if the data has fewer than minPart bytes: it is more often chance.
func decodeBinary(s string) (data string, base int, ok bool) {
	for _, marker := range []string{"base64:", "base64,"} { // as in settings and in data URLs
		if _, rest, ok := strings.Cut(s, marker); ok {
			s = rest
		}
	}
	s = strings.Join(strings.Fields(s), "")
	if b, err := hex.DecodeString(strings.TrimPrefix(s, "0x")); err == nil {
		return string(b), 16, len(b) >= minPart
	}
	bare := strings.TrimRight(s, "=")
	// Capital letters alone can be both, and one of the results is not text.
	if b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(bare); err == nil && isPlain(b) {
		return string(b), 32, len(b) >= minPart
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(bare); err == nil {
			return string(b), 64, len(b) >= minPart
		}
	}
	return "", 0, false
}

// isPlain reports whether b is plain text in ASCII.
func isPlain(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < ' ' && c != '\n' && c != '\r' && c != '\t' || c > '~' })
}

// distinct returns the number of different bytes of s.
func distinct(s string) (n int) {
	var seen byteSet
	for i := range len(s) {
		if !seen[s[i]] {
			seen[s[i]] = true
			n++
		}
	}
	return n
}

// escapes are the characters after a backslash that stand for another one.
var escapes = map[byte]byte{
	'a': '\a', 'b': '\b', 'e': 0x1b, 'E': 0x1b, 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
}

// unescape replaces the escapes with backslashes of C, JSON, YAML, shells and similar
// languages. An octal number has up to three digits: as in the echo of shells, these
// may follow a zero, and a backslash before any other letter stays; or neither.
func unescape(s string, echo bool) string {
	var b strings.Builder
	b.Grow(len(s))
	var high rune // the first half of a character in JSON
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		c := s[i]
		if short, ok := escapes[c]; ok {
			b.WriteByte(short)
			continue
		}
		base, most := 0, 0 // of the number that follows
		switch c {
		case 'x':
			base, most = 16, 2
		case 'u':
			base, most = 16, 4
		case 'U':
			base, most = 16, 8
		case '0', '1', '2', '3', '4', '5', '6', '7':
			base, most = 8, 3
			if !echo || c != '0' {
				i--
			}
		case '\n':
			continue // a continued line
		}
		start := i + 1
		end := start
		for end < len(s) && end < start+most && digit(s[end]) < base {
			end++
		}
		n, err := strconv.ParseUint(s[start:end], max(base, 2), 32)
		switch {
		case base == 8 && end == start: // \0
			b.WriteByte(0)
		case base == 0 && (!echo || !isAlnum(c)):
			b.WriteByte(c)
			continue
		case err != nil:
			b.WriteString(`\` + string(c))
			continue
		case most > 3:
			r := rune(n)
			if 0xdc00 <= r && r < 0xe000 && high != 0 {
				r = 0x10000 + (high-0xd800)<<10 + r - 0xdc00
			}
			high = 0
			if 0xd800 <= r && r < 0xdc00 {
				high = r
			} else {
				b.WriteRune(r)
			}
		default:
			b.WriteByte(byte(n))
		}
		i = end - 1
	}
	return b.String()
}

// digit returns the number that c is as a hex digit, or 16.
func digit(c byte) int {
	if i := strings.IndexByte(lowerHex, c|0x20); i >= 10 || isDigit(c) {
		return i
	}
	return 16
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// unquote returns s without the quotes of a shell, or of a language with similar ones.
// ok is false if s has none, or not in pairs.
func unquote(s string) (text string, ok bool) {
	var b strings.Builder
	b.Grow(len(s))
	for s != "" {
		quote := s[0]
		dollar := strings.HasPrefix(s, "$'")
		if dollar {
			s, quote = s[1:], '\''
		}
		switch quote {
		case '\'', '"', '`':
			size := quotedSize(s, quote != '\'' || dollar)
			if size < 0 {
				return "", false
			}
			inner := s[1 : size-1]
			if dollar {
				inner = unescape(inner, false)
			}
			b.WriteString(inner)
			s, ok = s[size:], true
		case '\\':
			n := min(2, len(s))
			b.WriteString(s[n-1 : n])
			s = s[n:]
		default:
			b.WriteByte(quote)
			s = s[1:]
		}
	}
	return b.String(), ok
}

// quotedSize returns the length of the quoted text at the beginning of s, or -1 if it
// has no end. escapes means that a backslash may be before a quote.
func quotedSize(s string, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return i + 1
		case s[i] == '\\' && escapes:
			i++
		}
	}
	return -1
}

// percentEncoded reports whether s may be encoded for a URL or a form.
func percentEncoded(s string) bool {
	for i := 0; i+2 < len(s); i++ {
		if s[i] == '%' && digit(s[i+1]) < 16 && digit(s[i+2]) < 16 {
			return true
		}
	}
	return strings.Contains(s, "+") && !strings.ContainsFunc(s, func(r rune) bool {
		return r > 0x7f || !isAlnum(byte(r)) && !strings.ContainsRune("*-._~+", r)
	})
}

// unpercent decodes the percent-encoding of s, and leaves invalid parts as they are.
func unpercent(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && digit(s[i+1]) < 16 && digit(s[i+2]) < 16 {
			b.WriteByte(byte(digit(s[i+1])<<4 | digit(s[i+2])))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// pemLines returns a PEM block that is stored on one line, with spaces, other separators
// or nothing between its lines, with the usual lines of 64 characters.
func pemLines(s string) (lines string, ok bool) {
	const begin, end, dashes = "-----BEGIN ", "-----END ", "-----"
	if strings.ContainsAny(s, "\r\n") || !strings.HasPrefix(s, begin) {
		return "", false
	}
	label, rest, ok := strings.Cut(s[len(begin):], dashes)
	body, tail, found := strings.Cut(rest, end)
	if !ok || !found {
		return "", false
	}
	parts := strings.Fields(body)
	if !strings.ContainsAny(body, "\\%&<`") { // these begin longer separators
		parts = strings.FieldsFunc(body, func(r rune) bool { return r > 0x7f || !isAlnum(byte(r)) && !strings.ContainsRune("+/=", r) })
	}
	if len(parts) == 1 {
		parts = slices.Collect(wrapped(strings.TrimSpace(body), 64))
	}
	return begin + label + dashes + "\n" + strings.Join(parts, "\n") + "\n" + end + tail, true
}

// wrapped yields s in lines of width characters.
func wrapped(s string, width int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for ; len(s) > width; s = s[width:] {
			if !yield(s[:width]) {
				return
			}
		}
		yield(s)
	}
}
