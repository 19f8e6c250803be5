package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/satchelhq/satchel/cmd/satchel/internal/terminal"
)

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && terminal.Is(f)
}

// interactive reports whether standard input and output are terminals.
func (p *program) interactive() bool { return isTerminal(p.in) && isTerminal(p.out) }

// errNoAnswer is the error for input that ends before an answer.
var errNoAnswer = errors.New("the input ended; nothing was changed")

// ask prints a question and returns the answer, or standard for an empty answer. It
// asks again until check accepts the answer.
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

// askHidden asks for an answer that the terminal does not show.
func (p *program) askHidden(ctx context.Context, question string) (answer string, err error) {
	file, ok := p.in.(*os.File)
	if !ok {
		return "", errors.New("standard input is not a terminal")
	}
	restore, err := terminal.HideInput(file)
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, restore())
		fmt.Fprintln(p.out) // the line break of the answer was hidden too
	}()
	fmt.Fprintf(p.out, "%s (hidden): ", p.paint(p.out, bold, question))
	return p.line(ctx)
}

// line reads a line. When ctx ends, a read may stay blocked, which is harmless
// because the program is about to end.
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

// confirm asks a question with the answer yes or no.
func (p *program) confirm(ctx context.Context, question, standard string) (bool, error) {
	answer, err := p.ask(ctx, question+" (yes or no)", standard, func(answer string) error {
		switch strings.ToLower(answer) {
		case "y", "yes", "n", "no":
			return nil
		}
		return errors.New("answer yes or no")
	})
	return err == nil && strings.ToLower(answer)[0] == 'y', err
}
