package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/satchelhq/satchel/internal/text"
)

// SGR codes of terminals.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint returns text in a color if w is a terminal that shows colors and NO_COLOR is
// not set.
func (p *program) paint(w io.Writer, color, text string) string {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !isTerminal(w) {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// status paints a status word in the color of its meaning.
func (p *program) status(w io.Writer, word string) string {
	switch strings.TrimSpace(word) {
	case "ok", "present", "ready":
		return p.paint(w, green, word)
	case "warning":
		return p.paint(w, yellow, word)
	case "failed", "missing", "expired", "hidden", "not ready":
		return p.paint(w, red, word)
	}
	return word
}

// printJSON prints v as indented JSON.
func (p *program) printJSON(v any) error {
	encoder := json.NewEncoder(p.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// note prints a line for people on standard error.
func (p *program) note(format string, args ...any) {
	fmt.Fprintln(p.err, p.paint(p.err, dim, text.Printable(fmt.Sprintf(format, args...))))
}

// logger returns the logger for the library's warnings. names replace the settings
// in its errors.
func (p *program) logger(names map[string]string) *slog.Logger {
	return slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(explained(err, names))
		}
		return a
	}}))
}

// moment formats a time for people. The zero time is "".
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}

// printLine prints v as one line of JSON.
func printLine(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
