package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"text/tabwriter"
)

// command is one of the program's.
type command struct {
	name string
	// args is the command line behind the name.
	args string
	// summary is one line, and help what --help says besides the flags.
	summary, help string
	hidden        bool
	run           func(*program, context.Context, []string) error
}

// commands returns them in the order in which people need them.
func commands() []command {
	return []command{
		{name: "setup", args: "[flags]", summary: "set the runner up, in three steps", help: setupHelp, run: (*program).setup},
		{name: "check", args: "[flags]", summary: "say whether the runner is ready", help: checkHelp, run: (*program).check},
		{name: "explain", args: "[flags] [NAME]", summary: "say where a secret comes from", help: explainHelp, run: (*program).explain},
		{name: "run", args: "[flags] -- COMMAND [ARG]...", summary: "run one job with its secrets", help: runHelp, run: (*program).runJob},
		{name: "serve", args: "[flags]", summary: "take jobs from a folder or from the input", help: serveHelp, run: (*program).serve},
		{name: "migrate", args: "[flags] FILE", summary: "move secrets of a local file to the platform", help: migrateHelp, run: (*program).migrate},
		{name: "version", args: "[flags]", summary: "print the version", help: versionHelp, run: (*program).version},
		{name: "help", args: "[COMMAND]", summary: "explain a command", help: helpHelp, run: (*program).help},
		{name: "git-credential", args: "OPERATION", summary: "answer git, inside a job", hidden: true, run: (*program).gitCredential},
	}
}

// find returns the command called name.
func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

const helpHelp = `
Examples:
  satchel help
  satchel help run
`

const exitCodes = `Exit codes:
  0    done; of check: the runner is ready
  1    it failed; of check: the runner is not ready
  2    the command line cannot be meant
  run has the exit code of the job: 128 and the number of the signal if one ended
  it, 127 if the command was not found, 126 if it cannot be executed, and 125 if
  the runner did not come as far as to start it.
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
	fmt.Fprintf(p.out, "A runner that starts with one token, on Satchel.\n\n%s\n  satchel COMMAND [flags]\n\n%s\n",
		p.paint(p.out, bold, "Usage:"), p.paint(p.out, bold, "Commands:"))
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		if !c.hidden {
			fmt.Fprintf(w, "  %s\t%s\n", c.name, c.summary)
		}
	}
	w.Flush()
	fmt.Fprintf(p.out, "\n`satchel COMMAND --help` has its flags and examples.\n\n%s", p.headed(exitCodes))
	return nil
}

// headed paints the lines that are headings: those that end in a colon at the
// left margin.
func (p *program) headed(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if heading := strings.TrimSuffix(line, "\n"); strings.HasSuffix(heading, ":") && !strings.HasPrefix(heading, " ") {
			line = p.paint(p.out, bold, heading) + "\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

const versionHelp = `
Examples:
  satchel version
  satchel version --json
`

func (p *program) version(_ context.Context, args []string) error {
	flags := p.flags("version")
	asJSON := flags.jsonFlag()
	if _, err := flags.parseNone(args); err != nil {
		return err
	}
	version, revision, goVersion := "(devel)", "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	if *asJSON {
		return p.printJSON(map[string]string{"version": version, "revision": revision, "go": goVersion})
	}
	fmt.Fprintln(p.out, strings.Join(strings.Fields("satchel "+version+" "+revision+" "+goVersion), " "))
	return nil
}
