package dotenv

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/satchelhq/satchel/bundle"
)

const byteOrderMark = "\ufeff"

// Set returns the content of a file with the entry called name set to value. It
// replaces the lines of that entry, including a comment after the value, or
// appends a line if no such entry exists. If name occurs more than once, Set sets
// the first entry and removes the others. All other bytes stay the same, and so
// does an entry that already has this value. New lines end like the lines that
// they replace or follow.
//
// Set fails if [ParseRepeats] rejects src, with a [*SyntaxError] that calls the
// file ".env", if the name or value breaks the rules of package bundle, or if the
// result is longer than [MaxSize]. It does not change src.
func Set(src []byte, name string, value bundle.Value) ([]byte, error) {
	line, err := Append(nil, Entry{Name: name, Value: value})
	if err != nil {
		return nil, err
	}
	entries, err := ParseRepeats(".env", src)
	if err != nil {
		return nil, fmt.Errorf("editing a .env file: %w", err)
	}
	lines := splitLines(src)
	found := false
	for _, e := range entries {
		switch {
		case e.Name != name:
		case found:
			lines.replace(e, nil)
		default:
			found = true
			if !e.Value.Equal(value) {
				lines.replace(e, withEnd(line, lineEnd(lines.text[e.EndLine-1])))
			}
		}
	}
	if !found {
		lines.add(line, entries)
	}
	out := lines.join()
	if len(out) > MaxSize {
		return nil, fmt.Errorf("editing a .env file: it would have %d bytes; at most %d are allowed", len(out), MaxSize)
	}
	return out, nil
}

// Cut returns the content of a file without the lines of all entries called
// name. All other bytes stay the same. Like [Set], it fails if [ParseRepeats]
// rejects src, and does not change src.
func Cut(src []byte, name string) ([]byte, error) {
	return CutFunc(src, func(e Entry) bool { return e.Name == name })
}

// CutFunc is [Cut] for all entries for which cut returns true. It calls cut once
// per entry, in the order of the file.
func CutFunc(src []byte, cut func(Entry) bool) ([]byte, error) {
	entries, err := ParseRepeats(".env", src)
	if err != nil {
		return nil, fmt.Errorf("editing a .env file: %w", err)
	}
	lines := splitLines(src)
	for _, e := range entries {
		if cut(e) {
			lines.replace(e, nil)
		}
	}
	return lines.join(), nil
}

// fileLines is a file split into lines, including their line ends.
type fileLines struct {
	mark []byte // a byte order mark, or empty
	text [][]byte
}

func splitLines(src []byte) *fileLines {
	rest := bytes.TrimPrefix(src, []byte(byteOrderMark))
	return &fileLines{src[:len(src)-len(rest)], slices.Collect(bytes.Lines(rest))}
}

// replace replaces the lines of an entry with text.
func (l *fileLines) replace(e Entry, text []byte) {
	l.text[e.Line-1] = text
	for i := e.Line; i < e.EndLine; i++ {
		l.text[i] = nil
	}
}

// add appends the lines of a new entry to a file with these entries.
func (l *fileLines) add(text []byte, entries []Entry) {
	end := "\n"
	for _, line := range slices.Backward(l.text) {
		if lineEnd(line) != "" {
			end = lineEnd(line)
			break
		}
	}
	if n := len(l.text); n > 0 && lineEnd(l.text[n-1]) == "" {
		// The end of its last line determines how a multi-line value is read.
		if last := len(entries) - 1; last >= 0 && entries[last].Line < n && entries[last].EndLine == n {
			end = "\n"
		}
		l.text = append(l.text, []byte(end))
	}
	l.text = append(l.text, withEnd(text, end))
}

// join returns a copy of the file.
func (l *fileLines) join() []byte {
	return slices.Concat(l.mark, bytes.Join(l.text, nil))
}

// lineEnd returns the line end of line: LF, CRLF or "".
func lineEnd(line []byte) string {
	switch {
	case bytes.HasSuffix(line, []byte("\r\n")):
		return "\r\n"
	case bytes.HasSuffix(line, []byte("\n")):
		return "\n"
	}
	return ""
}

// withEnd returns the lines of an entry, which end in LF, with the line end of
// the line that they replace. CRLF applies to all of them, because Parse then
// reads the line ends in a quoted value as LF.
func withEnd(lines []byte, end string) []byte {
	switch end {
	case "\n":
		return lines
	case "":
		return bytes.TrimSuffix(lines, []byte("\n"))
	}
	return bytes.ReplaceAll(lines, []byte("\n"), []byte("\r\n"))
}
