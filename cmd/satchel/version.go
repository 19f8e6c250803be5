package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
)

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
