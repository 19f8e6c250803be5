package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/satchelhq/satchel/internal/text"
)

const helpHelp = `
Examples:
  satchel help
  satchel help run
`

func (p *program) help(ctx context.Context, args []string) error {
	flags := p.flags("help")
	args, err := flags.parse(args)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return p.command(ctx, args[0], []string{"--help"})
	}
	fmt.Fprintf(p.out, "A runner that needs one token, built on Satchel.\n\n%s\n  satchel COMMAND [flags]\n\n%s\n",
		p.paint(p.out, bold, "Usage:"), p.paint(p.out, bold, "Commands:"))
	var rows [][]string
	for _, c := range commands() {
		if !c.hidden {
			rows = append(rows, []string{"  " + c.name, c.summary})
		}
	}
	fmt.Fprintf(p.out, "%s\n`satchel COMMAND --help` shows its flags and examples.\n\n%s", text.Columns(rows), p.headed(exitCodes))
	return nil
}

const exitCodes = `Exit codes:
  0    success; for check: the runner is ready
  1    failure; for check: the runner is not ready
  2    usage error
  run exits with the code of the job: 128 plus the signal number if a signal ended
  it, 127 if the command was not found, 126 if it cannot be executed, and 125 if
  the runner failed before it started the job.
`

// printHelp prints the command's description, flags and examples.
func (f *flagSet) printHelp() {
	c, _ := find(f.command)
	p := f.p
	fmt.Fprintf(p.out, "%s\n  satchel %s %s\n\n%s%s.\n", p.paint(p.out, bold, "Usage:"), c.name, c.args, strings.ToUpper(c.summary[:1]), c.summary[1:])
	about, examples, _ := strings.Cut(c.help, "\nExamples:\n")
	if about = strings.TrimSpace(about); about != "" {
		fmt.Fprintf(p.out, "\n%s\n", about)
	}
	var rows [][]string
	f.VisitAll(func(known *flag.Flag) {
		argument, usage := flag.UnquoteUsage(known)
		if argument == "value" {
			argument = "NAME"
		}
		if known.DefValue != "" && known.DefValue != "false" && known.DefValue != "0" {
			usage += " (default " + known.DefValue + ")"
		}
		rows = append(rows, []string{"  --" + strings.TrimSpace(known.Name+" "+argument), usage})
	})
	if rows != nil {
		fmt.Fprintf(p.out, "\n%s\n%s", p.paint(p.out, bold, "Flags:"), text.Columns(rows))
	}
	fmt.Fprintf(p.out, "\n%s\n%s", p.paint(p.out, bold, "Examples:"), examples)
	fmt.Fprintf(p.out, "\n%s", p.headed(exitCodes))
}

// headed paints the headings of prose: unindented lines that end in a colon.
func (p *program) headed(prose string) string {
	var out strings.Builder
	for line := range strings.Lines(prose) {
		if heading := strings.TrimSuffix(line, "\n"); strings.HasSuffix(heading, ":") && !strings.HasPrefix(heading, " ") {
			line = p.paint(p.out, bold, heading) + "\n"
		}
		out.WriteString(line)
	}
	return out.String()
}
