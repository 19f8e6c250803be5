package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

const helpHead = `satchel-platform serves secrets to runners: the bootstrap protocol under /, the admin
API under /admin/, probes at /healthz and /readyz.

  satchel-platform [serve] [flags]        serve until SIGTERM or SIGINT; a second one ends it immediately
  satchel-platform rewrap  [flags]        move all data keys from -kek-retired to -kek
  satchel-platform export  [flags] FILE   write a sealed backup to a new file; - is standard output
  satchel-platform import  [flags] FILE   import a backup
  satchel-platform keygen  FILE           create a key file for -kek local

  satchel-platform admin add    [flags] NAME   add an administrator, and print the token to standard output
  satchel-platform admin list   [flags]        list the named administrators
  satchel-platform admin rotate [flags] NAME   end the token of an administrator, and print another
  satchel-platform admin remove [flags] NAME   remove an administrator

Every flag has an environment variable: -log-level is ` + envPrefix + `LOG_LEVEL. A
flag overrides its variable. If a flag may be repeated, semicolons separate the values
in its variable. All commands accept all flags, so they can share one environment.

Examples:

  satchel-platform
  satchel-platform -listen :8443 -tls-cert /etc/satchel/tls.crt -tls-key /etc/satchel/tls.key \
      -database 'postgres://satchel@db.internal/satchel?sslmode=verify-full' \
      -kek aws -kek-key arn:aws:kms:…
  satchel-platform -require acme=ANTHROPIC_API_KEY:anthropic -limit-token 10:10000
  satchel-platform admin add -scope acme -role read-only -expires 2160h ada@example.com >token
  satchel-platform rewrap -kek hashivault -kek-key transit/satchel -kek-retired local:satchel-data/kek
`

const helpTail = `
Exit status: 0 for success or an end by a signal, 1 for a failure, 2 for invalid settings;
a second signal terminates the process by that signal.
`

// help writes the help text.
func help(w io.Writer) {
	fmt.Fprint(w, helpHead)
	for _, group := range groups {
		fmt.Fprintf(w, "\n%s:\n", group.title)
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		group.flags(&config{}, flags)
		flags.VisitAll(func(f *flag.Flag) {
			value, usage := flag.UnquoteUsage(f)
			if def := f.DefValue; def != "" && def != "0" && def != "0s" && def != "false" {
				usage += " (default " + def + ")"
			}
			fmt.Fprintf(w, "  -%s %s\n        %s\n", f.Name, value, strings.ReplaceAll(usage, "\n", "\n        "))
		})
	}
	fmt.Fprint(w, helpTail)
}
