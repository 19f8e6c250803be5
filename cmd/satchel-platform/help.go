package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

const helpHead = `satchel-platform serves secrets to runners: bootstrap under /, the admin API under
/admin/, probes at /healthz and /readyz.

  satchel-platform [serve] [flags]        serve until SIGTERM or SIGINT; a second one ends it at once
  satchel-platform rewrap  [flags]        move all data keys to -kek, away from -kek-retired
  satchel-platform export  [flags] FILE   write everything to a new file, sealed; - is standard output
  satchel-platform import  [flags] FILE   take in what export wrote
  satchel-platform keygen  FILE           make a key file for -kek local

Every flag can be a variable of the environment: -log-level is ` + envPrefix + `LOG_LEVEL.
A flag wins. Where a flag may be repeated, the variable has semicolons between the
values. All commands take all flags, so that one environment does for all.

Examples:

  satchel-platform
  satchel-platform -listen :8443 -tls-cert /etc/satchel/tls.crt -tls-key /etc/satchel/tls.key \
      -database postgres://satchel@db.internal/satchel -kek aws -kek-key arn:aws:kms:…
  satchel-platform -require acme=ANTHROPIC_API_KEY:anthropic -limit-token 5:50
  satchel-platform rewrap -kek hashivault -kek-key transit/satchel -kek-retired local:satchel-data/kek
`

const helpTail = `
Exit status: 0 done or ended by a signal, 1 could not start or go on, 2 unusable settings;
a second signal ends the process by that signal.
`

// help writes what -help shows.
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
