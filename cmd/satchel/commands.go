package main

import "context"

// command is a command of the program.
type command struct {
	name string
	// args is the synopsis of the arguments.
	args string
	// summary is one line; help is the rest of --help, without the flags.
	summary, help string
	hidden        bool
	// signals is set if the command handles the signals of endings itself. They cancel
	// the context of all other commands.
	signals bool
	run     func(*program, context.Context, []string) error
}

// commands returns all commands, in the order in which people need them.
func commands() []command {
	return []command{
		{name: "setup", args: "[flags]", summary: "set the runner up in three steps", help: setupHelp, run: (*program).setup},
		{name: "check", args: "[flags]", summary: "check whether the runner is ready", help: checkHelp, run: (*program).check},
		{name: "explain", args: "[flags] [NAME]", summary: "show where a secret comes from", help: explainHelp, run: (*program).explain},
		{name: "run", args: "[flags] -- COMMAND [ARG]...", summary: "run one job with its secrets", help: runHelp, signals: true, run: (*program).runJob},
		{name: "serve", args: "[flags]", summary: "run jobs from a folder or from standard input", help: serveHelp, signals: true, run: (*program).serve},
		{name: "migrate", args: "[flags] FILE", summary: "move secrets from a local file to the platform", help: migrateHelp, run: (*program).migrate},
		{name: "version", args: "[flags]", summary: "print the version", help: versionHelp, run: (*program).version},
		{name: "help", args: "[COMMAND]", summary: "explain a command", help: helpHelp, run: (*program).help},
		{name: "git-credential", args: "OPERATION", summary: "answer git inside a job", hidden: true, signals: true, run: (*program).gitCredential},
	}
}

// find returns the command with the given name.
func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}
