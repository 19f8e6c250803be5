package dotenv

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/satchelhq/satchel/bundle"
)

// MaxSize is the size of the longest file that is read or written, in bytes.
const MaxSize = 1 << 20

// Entry is one assignment in a file.
type Entry struct {
	Name  string
	Value bundle.Value
	// Line is where the entry starts and EndLine where it ends, counted from
	// 1. They differ where a value spans lines.
	Line, EndLine int
}

// SyntaxError says what in a file cannot be read.
type SyntaxError struct {
	// File is the name that was given to Parse.
	File string
	// Line counts from 1. It is 0 where the fault is the whole file's.
	Line int
	// Msg says what is wrong and what to write instead. It holds no part of a
	// value.
	Msg string
}

// Error returns the place and the message, such as
// ".env:12: there is no =; …".
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Parse returns the entries of a file in their order. It keeps nothing of src.
// file is the file's name, for messages only.
//
// The error is a *[SyntaxError] about the first fault found.
func Parse(file string, src []byte) ([]Entry, error) {
	return parse(file, src, false)
}

// ParseRepeats is Parse, except that a name may occur more than once: it is for
// programs that help to mend a file. Which value such a name has is anybody's
// guess.
func ParseRepeats(file string, src []byte) ([]Entry, error) {
	return parse(file, src, true)
}

func parse(file string, src []byte, repeats bool) ([]Entry, error) {
	p := parser{file: file, line: 1, repeats: repeats, seen: map[string]int{}}
	if len(src) > MaxSize {
		return nil, &SyntaxError{File: file, Msg: fmt.Sprintf("the file has %d bytes; at most %d are read", len(src), MaxSize)}
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
	rest string // what is not read yet; starts at the start of a line
	line int    // the number of that line

	repeats bool           // a name may occur again
	seen    map[string]int // the lines of names
}

func (p *parser) fail(line int, msg string) error {
	return &SyntaxError{File: p.file, Line: line, Msg: msg}
}

// checkText refuses what is not text, wherever it is.
func (p *parser) checkText(src []byte) error {
	line := 1
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		switch {
		case r == 0:
			return p.fail(line, "there is a NUL; encode binary data, as base64 for instance")
		case r == utf8.RuneError && size == 1:
			return p.fail(line, "this is not valid UTF-8; save the file as UTF-8, and encode binary data, as base64 for instance")
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
	if s == "" || s[0] == '#' || s[0] == '\r' { // endLine refuses the CR
		return Entry{}, false, p.endLine(p.rest)
	}
	if after, found := strings.CutPrefix(s, "export"); found && strings.TrimLeft(after, blanks) != after {
		s = strings.TrimLeft(after, blanks)
	}
	name, value, found := strings.Cut(s, "=")
	if !found {
		return Entry{}, false, p.fail(p.line, "there is no =; write NAME= for an empty value, and quotes around a value of several lines")
	}
	entry = Entry{Name: strings.TrimRight(name, blanks), Line: p.line}
	// The name is not quoted: in a broken file it may be a part of a value.
	if bundle.CheckName(entry.Name) != nil {
		return Entry{}, false, p.fail(p.line, fmt.Sprintf("what is before the = cannot be a name; want letters, digits and _, not starting with a digit, at most %d", bundle.MaxName))
	}
	if entry.Name != name {
		return Entry{}, false, p.fail(p.line, "there are blanks before the =; remove them")
	}
	if first, again := p.seen[entry.Name]; again && !p.repeats {
		return Entry{}, false, p.fail(p.line, fmt.Sprintf("%s is set a second time, after line %d; remove one of the two", entry.Name, first))
	}
	p.seen[entry.Name] = p.line

	var text string
	if value != "" && (value[0] == '\'' || value[0] == '"') {
		text, err = p.readQuoted(p.rest[len(line)-len(value):])
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
		return "", p.fail(p.line, "there are blanks after the =; remove them, or put quotes around a value that starts with one")
	case strings.ContainsAny(value, `'"`):
		return "", p.fail(p.line, "there is a quote inside a value without quotes; put quotes around the whole value")
	}
	return value, p.endLine(p.rest)
}

// readQuoted reads the value that starts with its quote at the start of s, and all
// of the line that it ends on.
func (p *parser) readQuoted(s string) (string, error) {
	opened := p.line
	raw, after, err := cutQuoted(s)
	if err != nil {
		return "", p.fail(opened, err.Error())
	}
	p.line += strings.Count(raw, "\n")
	tail, end := cutLine(after)
	comment := strings.TrimLeft(tail, blanks)
	if comment != "" && (comment[0] != '#' || comment == tail) {
		msg := "there is something after the closing quote; put quotes around the whole value, and a blank before a comment"
		if p.line != opened {
			msg += fmt.Sprintf("; the quote opens on line %d", opened)
		}
		return "", p.fail(p.line, msg)
	}
	if end == "\r\n" {
		raw = strings.ReplaceAll(raw, "\r\n", "\n")
	}
	if s[0] == '"' {
		var line int
		if raw, line, err = unescape(raw); err != nil {
			return "", p.fail(opened+line, err.Error())
		}
	}
	return raw, p.endLine(after)
}

// endLine moves on to the line after the one that s, a suffix of what is not
// read yet, starts in.
func (p *parser) endLine(s string) error {
	line, end := cutLine(s)
	if strings.Contains(line, "\r") {
		return p.fail(p.line, `there is a CR that ends no line; end lines in LF or CRLF, or write \r between double quotes`)
	}
	p.rest = s[len(line)+len(end):]
	p.line++
	return nil
}

const blanks = " \t"

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// cutLine returns the line that s starts with and what ends it: LF, CRLF or
// nothing.
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

// cutQuoted returns what is between the quote at the start of s and the one
// that closes it, and what is after that.
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
	return "", "", errors.New("the quote that opens here is never closed; close it")
}

// unescape replaces the escapes of a value in double quotes. With an error it
// returns how many lines into the value the fault is.
func unescape(raw string) (value string, line int, err error) {
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '\\' {
			i++ // never the last: it would escape the closing quote
			switch c = raw[i]; c {
			case '"', '\\', '$', '`':
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			default:
				return "", line, errors.New("there is an unknown escape between double quotes; known are \\n \\r \\t \\\" \\\\ \\$ \\`; write \\\\ for a backslash")
			}
		} else if c == '\n' {
			line++
		}
		b.WriteByte(c)
	}
	return b.String(), 0, nil
}
