package satchel

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/text"
)

// Report is the result of [Check].
type Report struct {
	// Items are the findings, in the order of [Check].
	Items []bundle.CheckItem
	// Bundle is the merged bundle of the layers that could be fetched, without
	// expired secrets. Check never sets it to nil.
	Bundle *bundle.Bundle
}

// OK reports whether no item has failed. Warnings are not failures.
func (r Report) OK() bool { return r.count(bundle.CheckFailed) == 0 }

func (r Report) count(status bundle.CheckStatus) int {
	var n int
	for _, item := range r.Items {
		if item.Status == status {
			n++
		}
	}
	return n
}

// String formats the report for people: a line for each item, in columns, with the
// fix below it, and at the end whether the runner is ready. A program with flags
// first replaces Detail and Fix of the items with [bundle.CheckItem.Parts].
func (r Report) String() string {
	const widest = 48
	var width int
	for _, item := range r.Items {
		width = max(width, min(utf8.RuneCountInString(plain(item.Name)), widest))
	}
	var out strings.Builder
	for _, item := range r.Items {
		line := fmt.Sprintf("%-7s  %-*s  %s", item.Status, width, plain(item.Name), plain(item.Detail))
		fmt.Fprintln(&out, strings.TrimRight(line, " "))
		if item.Fix != "" {
			fmt.Fprintf(&out, "%*s fix: %s\n", len("warning  ")+width+1, "", plain(item.Fix))
		}
	}
	verdict := "ready"
	if !r.OK() {
		verdict = "not ready"
	}
	fmt.Fprintf(&out, "%s: %d ok", verdict, r.count(bundle.CheckOK))
	switch n := r.count(bundle.CheckWarning); n {
	case 0:
	case 1:
		fmt.Fprint(&out, ", 1 warning")
	default:
		fmt.Fprintf(&out, ", %d warnings", n)
	}
	if n := r.count(bundle.CheckFailed); n > 0 {
		fmt.Fprintf(&out, ", %d failed", n)
	}
	return out.String()
}

// plain returns s on one line, without characters that could move a terminal's
// cursor: parts of it may come from servers.
func plain(s string) string {
	return text.Line(strings.ReplaceAll(strings.TrimSpace(s), "\n", "; "))
}

func (r *Report) ok(name, detail string) {
	r.Items = append(r.Items, bundle.CheckItem{Name: name, Detail: detail})
}

func (r *Report) warn(name, detail, fix string) {
	r.Items = append(r.Items, bundle.CheckItem{Name: name, Status: bundle.CheckWarning, Detail: detail, Fix: fix})
}

func (r *Report) fail(name, detail, fix string) {
	r.Items = append(r.Items, bundle.CheckItem{Name: name, Status: bundle.CheckFailed, Detail: detail, Fix: fix})
}
