package dotenv

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/satchelhq/satchel/bundle"
)

// MaxSize is the maximum size of a file that is read or written, in bytes.
const MaxSize = 1 << 20

// Entry is one assignment in a file.
type Entry struct {
	// Name is a valid name of a secret; see [bundle.CheckName].
	Name string
	// Value is the value without its quotes and escapes.
	Value bundle.Value
	// Line is the first line of the entry and EndLine the last, counted from 1.
	// They differ if a quoted value spans lines. [Append] ignores them.
	Line, EndLine int
	// Literal reports whether the file marks each $ and ` of the value as an ordinary
	// character for tools that expand variables and commands: by single quotes, or
	// by backslashes in double quotes. This package never expands. [Append] ignores
	// it.
	Literal bool
}

// SyntaxError is the error for a malformed file.
type SyntaxError struct {
	// File is the file argument of [Parse]; [Set] and [Cut] use ".env".
	File string
	// Line is the line of the error, counted from 1. It is 0 if the error
	// concerns the file as a whole.
	Line int
	// Msg describes the problem and the fix. It contains no part of a value.
	Msg string
}

// Error returns the position and the message, such as
// `.env:12: missing "="; …`.
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Parse returns the entries of a file in their order. It does not retain src.
// file is the file's name, used only in errors.
//
// The error is a *[SyntaxError] for the first problem found.
func Parse(file string, src []byte) ([]Entry, error) {
	return parse(file, src, false)
}

// ParseRepeats is [Parse] except that a name may occur more than once. It is for
// programs that help to fix a file; the value of a repeated name is ambiguous.
func ParseRepeats(file string, src []byte) ([]Entry, error) {
	return parse(file, src, true)
}

func parse(file string, src []byte, repeats bool) ([]Entry, error) {
	p := parser{file: file, line: 1, repeats: repeats, seen: map[string]int{}}
	if len(src) > MaxSize {
		return nil, &SyntaxError{File: file, Msg: fmt.Sprintf("the file has %d bytes; at most %d are allowed", len(src), MaxSize)}
	}
	if err := p.checkText(src); err != nil {
		return nil, err
	}
	p.rest = strings.TrimPrefix(string(src), "\ufeff")
	var entries []Entry
	for p.rest != "" {
		entry, ok, err := p.statement()
		if err != nil {
			return nil, err
		}
		if ok {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

type parser struct {
	file string
	rest string // the unread input; starts at the start of a line
	line int    // the number of that line

	repeats bool           // a name may occur again
	seen    map[string]int // the lines of names
}

func (p *parser) fail(line int, msg string) error {
	return &SyntaxError{File: p.file, Line: line, Msg: msg}
}

// checkText rejects NUL and invalid UTF-8 anywhere in the file.
func (p *parser) checkText(src []byte) error {
	line := 1
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		switch {
		case r == 0:
			return p.fail(line, "NUL byte; encode binary data, for example as base64")
		case r == utf8.RuneError && size == 1:
			return p.fail(line, "invalid UTF-8; save the file as UTF-8, and encode binary data, for example as base64")
		case r == '\n':
			line++
		}
		i += size
	}
	return nil
}

// statement reads one line, or the several lines of a quoted value. ok is
// false if they hold no entry.
func (p *parser) statement() (entry Entry, ok bool, err error) {
	line, _ := cutLine(p.rest)
	s := strings.TrimLeft(line, blanks)
	if s == "" || s[0] == '#' || s[0] == '\r' { // endLine rejects the CR
		return Entry{}, false, p.endLine(p.rest)
	}
	if after, found := strings.CutPrefix(s, "export"); found && strings.TrimLeft(after, blanks) != after {
		s = strings.TrimLeft(after, blanks)
	}
	name, value, found := strings.Cut(s, "=")
	if !found {
		return Entry{}, false, p.fail(p.line, `missing "="; write NAME= for an empty value, and quotes around a multi-line value`)
	}
	entry = Entry{Name: strings.TrimRight(name, blanks), Line: p.line}
	// The error does not quote the name: in a broken file it may be part of a
	// value.
	if bundle.CheckName(entry.Name) != nil {
		return Entry{}, false, p.fail(p.line, fmt.Sprintf(`invalid name before "="; want at most %d letters, digits and _, not starting with a digit`, bundle.MaxName))
	}
	if entry.Name != name {
		return Entry{}, false, p.fail(p.line, `whitespace before "="; remove it`)
	}
	if first, again := p.seen[entry.Name]; again && !p.repeats {
		return Entry{}, false, p.fail(p.line, fmt.Sprintf("%s is set a second time, after line %d; remove one of the two", entry.Name, first))
	}
	p.seen[entry.Name] = p.line

	var text string
	if value != "" && (value[0] == '\'' || value[0] == '"') {
		text, entry.Literal, err = p.readQuoted(p.rest[len(line)-len(value):])
	} else {
		text, err = p.readUnquoted(value)
	}
	if err != nil {
		return Entry{}, false, err
	}
	entry.Value = bundle.NewValue(text)
	entry.EndLine = p.line - 1
	return entry, true, nil
}

// readUnquoted reads the value that is the rest of the line.
func (p *parser) readUnquoted(s string) (string, error) {
	value := strings.TrimRight(s, blanks)
	for i := 1; i < len(s); i++ {
		if s[i] == '#' && isBlank(s[i-1]) {
			value = strings.TrimRight(s[:i], blanks)
			break
		}
	}
	switch {
	case value != "" && isBlank(value[0]):
		return "", p.fail(p.line, `whitespace after "="; remove it, or put quotes around a value that starts with it`)
	case strings.ContainsAny(value, `'"`):
		return "", p.fail(p.line, "quote inside an unquoted value; put quotes around the whole value")
	}
	return value, p.endLine(p.rest)
}

// readQuoted reads the value whose quote is at the start of s, and the rest of
// its last line. literal is [Entry.Literal].
func (p *parser) readQuoted(s string) (value string, literal bool, err error) {
	opened := p.line
	raw, after, err := cutQuoted(s)
	if err != nil {
		return "", false, p.fail(opened, err.Error())
	}
	p.line += strings.Count(raw, "\n")
	tail, end := cutLine(after)
	comment := strings.TrimLeft(tail, blanks)
	if comment != "" && (comment[0] != '#' || comment == tail) {
		msg := "unexpected text after the closing quote; put quotes around the whole value, and a space before a comment"
		if p.line != opened {
			msg += fmt.Sprintf("; the quote opens on line %d", opened)
		}
		return "", false, p.fail(p.line, msg)
	}
	if end == "\r\n" {
		raw = strings.ReplaceAll(raw, "\r\n", "\n")
	}
	literal = true
	if s[0] == '"' {
		var line int
		if raw, literal, line, err = unescape(raw); err != nil {
			return "", false, p.fail(opened+line, err.Error())
		}
	}
	return raw, literal, p.endLine(after)
}

// endLine moves on to the line after the one in which s starts. s is a suffix of
// the unread input.
func (p *parser) endLine(s string) error {
	line, end := cutLine(s)
	if strings.Contains(line, "\r") {
		return p.fail(p.line, `CR without LF; end lines with LF or CRLF, or write \r in double quotes`)
	}
	p.rest = s[len(line)+len(end):]
	p.line++
	return nil
}

const blanks = " \t"

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// cutLine returns the first line of s and its line end: LF, CRLF or nothing.
func cutLine(s string) (line, end string) {
	i := strings.IndexByte(s, '\n')
	switch {
	case i < 0:
		return s, ""
	case i > 0 && s[i-1] == '\r':
		return s[:i-1], s[i-1 : i+1]
	}
	return s[:i], s[i : i+1]
}

// cutQuoted returns the text between the quote at the start of s and the closing
// quote, and the text after it.
func cutQuoted(s string) (raw, after string, err error) {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return s[1:i], s[i+1:], nil
		case s[i] == '\\' && quote == '"':
			i++
		}
	}
	return "", "", errors.New("unclosed quote; add the closing quote")
}

// unescape replaces the escapes of a value in double quotes. literal reports whether
// it has an escaped $ or `, and none without a backslash. With an error, line is the
// number of lines before the invalid escape in raw.
func unescape(raw string) (value string, literal bool, line int, err error) {
	var b strings.Builder
	var escaped, expands bool
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '\\' {
			i++ // never past the end: a last backslash would escape the closing quote
			switch c = raw[i]; c {
			case '"', '\\':
			case '$', '`':
				escaped = true
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			default:
				return "", false, line, errors.New("unknown escape in double quotes; want \\n \\r \\t \\\" \\\\ \\$ or \\`; write \\\\ for a backslash")
			}
		} else {
			if c == '\n' {
				line++
			}
			expands = expands || c == '$' || c == '`'
		}
		b.WriteByte(c)
	}
	return b.String(), escaped && !expands, 0, nil
}
