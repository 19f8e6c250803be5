package redact

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	lowerHex = "0123456789abcdef"
	upperHex = "0123456789ABCDEF"
)

// A urlStyle is one way of escaping text for a URL.
type urlStyle struct {
	// safe are the unescaped characters besides letters and digits.
	safe string
	// plus means that a space becomes a plus sign.
	plus bool
}

// urlStyles are the styles in use. None escapes letters, digits, "-", "_" and ".".
var urlStyles = []urlStyle{
	{"-_.~", true},            // query values: Go, Python's quote_plus
	{"*-._", true},            // HTML forms: URLSearchParams
	{"-_.~", false},           // RFC 3986: jq's @uri, curl
	{"-_.~$&+:=@", false},     // path segments: Go
	{"-_.!~*'()", false},      // encodeURIComponent
	{"-_.~/", false},          // Python's quote
	{"-_.~$&+,;=", false},     // user and password: Go
	{"-_.~!$&'()*+,%", false}, // user and password: browsers
}

func (u urlStyle) escape(s, digits string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case isAlnum(c) || strings.IndexByte(u.safe, c) >= 0:
			b.WriteByte(c)
		case c == ' ' && u.plus:
			b.WriteByte('+')
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

func isAlnum(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
}

// A jsonStyle is one way of writing text inside a JSON string. All of them
// escape quotes, backslashes and control characters.
type jsonStyle struct {
	also  string // further ASCII characters that are written as \uXXXX
	ascii bool   // non-ASCII characters are written as \uXXXX
	lines bool   // U+2028 and U+2029, line ends in old JavaScript, are written as \uXXXX
	slash bool   // / becomes \/
	hex   string // the hex digits
}

const htmlUnsafe = "<>&"

var jsonStyles = []jsonStyle{
	{hex: lowerHex}, // JavaScript
	{hex: lowerHex, also: htmlUnsafe, lines: true},        // Go
	{hex: lowerHex, lines: true},                          // Go without HTML escaping
	{hex: lowerHex, also: htmlUnsafe + "'=", lines: true}, // Gson
	{hex: lowerHex, also: "\x7f"},                         // jq
	{hex: lowerHex, ascii: true, also: "\x7f"},            // jq -a, Python
	{hex: lowerHex, ascii: true},                          // other encoders
	{hex: lowerHex, ascii: true, slash: true},             // PHP
	{hex: lowerHex, lines: true, slash: true},             // PHP without Unicode escaping
	{hex: lowerHex, ascii: true, also: htmlUnsafe},        // HTML in templates
	{hex: upperHex}, // Java
	{hex: upperHex, also: htmlUnsafe, lines: true},               // Java in web pages
	{hex: upperHex, ascii: true},                                 // Java in ASCII
	{hex: upperHex, ascii: true, also: "\x7f"},                   // other encoders
	{hex: upperHex, ascii: true, also: htmlUnsafe},               // Java in ASCII in web pages
	{hex: upperHex, ascii: true, also: htmlUnsafe + "\"'+`\x7f"}, // .NET
}

var jsonShort = map[rune]string{
	'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`,
}

func (j jsonStyle) escape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i, r := range s { // an invalid byte counts as U+FFFD, as in encoders
		if r < 0x80 && isAlnum(byte(r)) {
			b.WriteByte(byte(r))
			continue
		}
		short, ok := jsonShort[r]
		invalid := r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd")
		switch {
		case strings.ContainsRune(j.also, r):
			b.WriteString(j.unicode(r))
		case ok:
			b.WriteString(short)
		case r == '/' && j.slash:
			b.WriteString(`\/`)
		case r < 0x20,
			j.lines && (r == '\u2028' || r == '\u2029' || invalid),
			j.ascii && r > 0x7f && r <= 0xffff:
			b.WriteString(j.unicode(r))
		case j.ascii && r > 0xffff:
			r -= 0x10000
			b.WriteString(j.unicode(0xd800 + r>>10))
			b.WriteString(j.unicode(0xdc00 + r&0x3ff))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (j jsonStyle) unicode(r rune) string {
	return string([]byte{'\\', 'u', j.hex[r>>12], j.hex[r>>8&15], j.hex[r>>4&15], j.hex[r&15]})
}

// entityStyles escape text for HTML and XML.
var entityStyles = []*strings.Replacer{
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;"),                                                                          // text in XML
	strings.NewReplacer("&", "&amp;", "<", "&lt;"),                                                                                       // text in XML, as libxml writes it
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;"),                                                           // attributes
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;"),                                            // XML
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;"),                                            // Python
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;"),                                             // jq, JavaScript
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;"),                                              // Go
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#039;"),                                            // PHP
	strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;"), // encoding/xml
}

// shellQuotes quote text as shells print it, without the surrounding quotes.
var shellQuotes = []func(string) string{
	strings.NewReplacer(`'`, `'\''`).Replace,                                                                        // in single quotes
	strings.NewReplacer(`'`, `'"'"'`).Replace,                                                                       // the same in another style
	strings.NewReplacer(`'`, `''`).Replace,                                                                          // in single quotes of YAML and SQL
	strings.NewReplacer("\\", "\\\\", `"`, `\"`, "$", `\$`, "`", "\\`").Replace,                                     // in double quotes
	strings.NewReplacer("\\", "\\\\", `"`, `\"`, "$", `\$`, "`", "\\`", "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace, // in double quotes of a .env file
	shellBackslashes,
}

// shellBackslashes quotes s like the %q of bash if no character needs more than a
// backslash.
func shellBackslashes(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case strings.IndexByte(" '\"\\|&;()<>!{}*[]?^$`,", c) >= 0,
			c == '#' && i == 0,
			c == '~' && (i == 0 || s[i-1] == ':' || s[i-1] == '='):
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// shellShort are the characters with a short escape in $'…'.
var shellShort = map[rune]string{
	'\a': `\a`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\v': `\v`,
	0x1b: `\E`, '\\': `\\`, '\'': `\'`,
}

// shellDollar quotes s as inside $'…', as bash does. Each byte of a non-ASCII
// character that the locale does not print becomes an octal number.
func shellDollar(s string, prints func(r rune) bool) string {
	var b strings.Builder
	for i, r := range s {
		width := max(1, utf8.RuneLen(r))
		if r == utf8.RuneError {
			_, width = utf8.DecodeRuneInString(s[i:])
		}
		escape, ok := shellShort[r]
		switch {
		case ok:
			b.WriteString(escape)
		case r < 0x80 && unicode.IsPrint(r), r >= 0x80 && width > 1 && prints(r):
			b.WriteRune(r)
		default:
			for _, c := range []byte(s[i : i+width]) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		}
	}
	return b.String()
}

// shellParts quotes s as in single quotes with $'…' between them where necessary, as
// the programs of GNU do, without the outer quotes.
func shellParts(s string, prints func(r rune) bool) string {
	var b strings.Builder
	escaping := false
	for s != "" {
		r, width := utf8.DecodeRuneInString(s)
		part := s[:width]
		s = s[width:]
		plain := r < 0x80 && unicode.IsPrint(r) || r >= 0x80 && (r != utf8.RuneError || width > 1) && prints(r)
		if plain == escaping {
			b.WriteString(map[bool]string{true: `''`, false: `'$'`}[plain])
			escaping = !plain
		}
		short, ok := shellShort[r]
		switch {
		case r == '\'':
			b.WriteString(`'\''`)
		case plain:
			b.WriteString(part)
		case ok && r != 0x1b:
			b.WriteString(short)
		default:
			for _, c := range []byte(part) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		}
	}
	return b.String()
}
