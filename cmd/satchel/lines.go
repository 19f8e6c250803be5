package main

import (
	"io"
	"strings"
)

// lines is a writer that calls line for each line, and fails if line does.
type lines struct {
	line func(string) error
	rest strings.Builder
}

// longestLine is the length at which a line is cut, in bytes.
const longestLine = 64 << 10

func (l *lines) Write(b []byte) (int, error) {
	for part := range strings.Lines(string(b)) {
		l.rest.WriteString(strings.TrimSuffix(part, "\n"))
		if strings.HasSuffix(part, "\n") || l.rest.Len() > longestLine {
			if err := l.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(b), nil
}

func (l *lines) flush() error {
	text := l.rest.String()
	l.rest.Reset()
	return l.line(text)
}

// end passes on a last line that has no line break.
func (l *lines) end() {
	if l.rest.Len() > 0 {
		_ = l.flush() // the job has ended
	}
}

var _ io.Writer = (*lines)(nil)
