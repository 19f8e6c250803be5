package main

import (
	"io"
	"strings"
)

// lines is a writer that calls line for each line.
type lines struct {
	line func(string)
	rest strings.Builder
}

// longestLine is the length at which a line is cut, in bytes.
const longestLine = 64 << 10

func (l *lines) Write(b []byte) (int, error) {
	for part := range strings.Lines(string(b)) {
		l.rest.WriteString(strings.TrimSuffix(part, "\n"))
		if strings.HasSuffix(part, "\n") || l.rest.Len() > longestLine {
			l.flush()
		}
	}
	return len(b), nil
}

func (l *lines) flush() {
	l.line(l.rest.String())
	l.rest.Reset()
}

// end passes on a last line that has no line break.
func (l *lines) end() {
	if l.rest.Len() > 0 {
		l.flush()
	}
}

var _ io.Writer = (*lines)(nil)
