package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/satchelhq/satchel/internal/text"
)

// Colors, as terminals know them.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint returns text in a color if w is a terminal that shows them, and NO_COLOR
// is not set.
func (p *program) paint(w io.Writer, color, text string) string {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !isTerminal(w) {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// status paints the words of checks by what they mean.
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

// printJSON prints v on lines of its own, indented.
func (p *program) printJSON(v any) error {
	encoder := json.NewEncoder(p.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// note prints a line for people beside the result.
func (p *program) note(format string, args ...any) {
	fmt.Fprintln(p.err, p.paint(p.err, dim, text.Printable(fmt.Sprintf(format, args...))))
}

// logger returns the logger for the library's warnings, with this program's flags
// in its errors.
func (p *program) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(explained(err, flagNames))
		}
		return a
	}}))
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && terminal(f)
}

// interactive reports whether there is somebody to ask.
func (p *program) interactive() bool { return isTerminal(p.in) && isTerminal(p.out) }

// errNoAnswer says that the input ended in place of an answer.
var errNoAnswer = errors.New("the input ended; nothing was changed")

// ask prints a question and returns the answer, or the default for an empty
// one. It asks again until check accepts the answer.
func (p *program) ask(ctx context.Context, question, standard string, check func(string) error) (string, error) {
	prompt := p.paint(p.out, bold, question)
	if standard != "" {
		prompt += " [" + standard + "]"
	}
	for {
		fmt.Fprint(p.out, prompt+": ")
		answer, err := p.line(ctx)
		if err != nil {
			fmt.Fprintln(p.out)
			return "", err
		}
		if answer == "" {
			answer = standard
		}
		err = check(answer)
		if err == nil {
			return answer, nil
		}
		fmt.Fprintf(p.out, "  %s\n", p.paint(p.out, red, err.Error()))
	}
}

// askHidden asks for something that is not shown while it is written.
func (p *program) askHidden(ctx context.Context, question string) (answer string, err error) {
	file, ok := p.in.(*os.File)
	if !ok {
		return "", errors.New("there is no terminal to ask at")
	}
	restore, err := hideInput(file)
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, restore())
		fmt.Fprintln(p.out) // the one that was not shown
	}()
	fmt.Fprintf(p.out, "%s (it is not shown): ", p.paint(p.out, bold, question))
	return p.line(ctx)
}

// line reads a line. When ctx ends, a read may stay behind; the program is about
// to end then.
func (p *program) line(ctx context.Context) (string, error) {
	type result struct {
		line string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		line, err := p.lines.ReadString('\n')
		got <- result{strings.TrimSpace(line), err}
	}()
	select {
	case r := <-got:
		if r.err != nil && r.line == "" {
			return "", errNoAnswer
		}
		return r.line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
