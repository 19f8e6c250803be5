package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/internal/text"
)

const checkHelp = `Check fetches the bundle once and changes nothing.

Examples:
  satchel check
  satchel check --require DEPLOY_TOKEN --require NPM_TOKEN
  satchel check --json | jq .ready
`

func (p *program) check(ctx context.Context, args []string) error {
	flags := p.flags("check")
	where := flags.homeFlag()
	asJSON := flags.jsonFlag()
	required := flags.list("require", "a secret that must be present, in addition to those that the platform requires; may be repeated")
	if _, err := flags.parseNone(args); err != nil {
		return err
	}
	if err := flags.checkNames("require", *required); err != nil {
		return err
	}
	home, err := where.find()
	if err != nil {
		return err
	}
	layers, _, err := home.layers()
	if err != nil {
		return err
	}
	report := satchel.Check(ctx, layers, *required...)
	if *asJSON {
		err = p.printJSON(describeReport(report))
	} else {
		p.printReport(p.out, report)
	}
	if err == nil && !report.OK() {
		err = exitCode(codeFailed)
	}
	return err
}

// printReport prints a report for people, with colored status words.
func (p *program) printReport(w io.Writer, report satchel.Report) {
	for line := range strings.Lines(inFlags(report).String()) {
		line = strings.TrimSuffix(line, "\n")
		for _, word := range []string{"ok     ", "warning", "failed ", "not ready", "ready"} {
			if rest, found := strings.CutPrefix(line, word); found {
				line = p.status(w, word) + rest
				break
			}
		}
		fmt.Fprintln(w, line)
	}
	for _, notice := range report.Bundle.Meta().Notices {
		fmt.Fprintln(w, "notice: "+text.Printable(notice))
	}
}

// inFlags returns a report in terms of this program's flags.
func inFlags(report satchel.Report) satchel.Report {
	report.Items = slices.Clone(report.Items)
	for i, item := range report.Items {
		report.Items[i].Detail, report.Items[i].Fix = item.Parts(flagName)
	}
	return report
}

// The JSON of a report.
type (
	reportJSON struct {
		Ready   bool       `json:"ready"`
		Items   []itemJSON `json:"items"`
		Notices []string   `json:"notices,omitempty"`
	}
	itemJSON struct {
		Status string `json:"status"`
		Name   string `json:"name"`
		Detail string `json:"detail,omitempty"`
		Fix    string `json:"fix,omitempty"`
	}
)

func describeReport(report satchel.Report) reportJSON {
	answer := reportJSON{Ready: report.OK(), Items: []itemJSON{}, Notices: report.Bundle.Meta().Notices}
	for _, item := range inFlags(report).Items {
		answer.Items = append(answer.Items, itemJSON{Status: item.Status.String(), Name: item.Name, Detail: item.Detail, Fix: item.Fix})
	}
	return answer
}
