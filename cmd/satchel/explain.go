package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/text"
	"github.com/satchelhq/satchel/internal/valuecheck"
)

const explainHelp = `Without NAME, explain lists all secrets of the runner. It prints previews, never
values.

Examples:
  satchel explain
  satchel explain DEPLOY_TOKEN
  satchel explain DEPLOY_TOKEN --json
`

// explanation describes a secret, without its value.
type explanation struct {
	Name     string       `json:"name"`
	Preview  string       `json:"preview"`
	From     string       `json:"from"`
	Shadows  []shadowJSON `json:"hides,omitempty"`
	Kind     string       `json:"kind,omitempty"`
	Scope    string       `json:"scope,omitempty"`
	Version  int64        `json:"version,omitempty"`
	Delivery string       `json:"delivery"`
	Fetched  time.Time    `json:"fetched_at"`
	Rotated  time.Time    `json:"rotated_at,omitzero"`
	Expires  time.Time    `json:"expires_at,omitzero"`
	Problems []string     `json:"problems,omitempty"`
}

type shadowJSON struct {
	From string `json:"from"`
	Same bool   `json:"same_value"`
}

func (p *program) explain(ctx context.Context, args []string) error {
	flags := p.flags("explain")
	where := flags.homeFlag()
	asJSON := flags.jsonFlag()
	limit := flags.duration("timeout", time.Minute, timeoutUsage)
	names, err := flags.parse(args)
	if err != nil {
		return err
	}
	if len(names) > 1 {
		return flags.wrong("explain takes at most one name")
	}
	home, err := where.find()
	if err != nil {
		return err
	}
	layers, _, err := home.layers()
	if err != nil {
		return err
	}
	client, err := p.connect(ctx, layers, *limit, satchel.Options{})
	if err != nil {
		return err
	}
	fetched := time.Now().Add(-client.Status().Age)
	b := client.Bundle()
	doubts := valuecheck.Doubts(b)
	if len(names) == 0 {
		all := []explanation{}
		for s := range b.All() {
			all = append(all, explainSecret(b, s, doubts, fetched))
		}
		if *asJSON {
			return p.printJSON(all)
		}
		p.printAll(all)
		p.sayMissing(b)
		for _, doubt := range doubts {
			p.note("%s: %s %s; %s", doubt.Secret.Name, doubt.Secret.Origin, doubt.Reason, doubt.Fix)
		}
		return nil
	}
	s, ok := b.Get(names[0])
	if !ok {
		return unknownSecret(b, names[0])
	}
	if e := explainSecret(b, s, doubts, fetched); *asJSON {
		return p.printJSON(e)
	} else {
		p.printExplanation(e)
	}
	return nil
}

// unknownSecret returns the error for a secret that no layer has, with the reason if
// a layer reports one.
func unknownSecret(b *bundle.Bundle, name string) error {
	if err := bundle.CheckName(name); err != nil {
		return &usageError{err.Error()}
	}
	var known, reasons []string
	for _, problem := range b.Problems() {
		known = append(known, problem.Name)
		if problem.Name == name {
			reasons = append(reasons, problem.Explain())
		}
	}
	for s := range b.All() {
		known = append(known, s.Name)
	}
	if reasons != nil {
		return fmt.Errorf("the runner does not have %s; %s", name, strings.Join(reasons, "; "))
	}
	return errors.New("no layer has " + name + nearest(name, known) + "; `satchel explain` lists all secrets")
}

func explainSecret(b *bundle.Bundle, s bundle.Secret, doubts []valuecheck.Doubt, fetched time.Time) explanation {
	e := explanation{
		Name: s.Name, Preview: s.Value.Preview(), From: s.Origin.String(), Kind: s.Kind, Scope: s.Scope, Version: s.Version,
		Delivery: string(s.Delivery), Fetched: fetched.UTC().Truncate(time.Second), Rotated: s.Rotated, Expires: s.Expires,
	}
	for _, shadow := range b.Shadowed() {
		if shadow.Name == s.Name {
			e.Shadows = append(e.Shadows, shadowJSON{From: shadow.Hidden.String(), Same: shadow.Same})
		}
	}
	for _, problem := range b.Problems() {
		if problem.Name == s.Name {
			e.Problems = append(e.Problems, problem.Explain())
		}
	}
	for _, doubt := range doubts {
		if doubt.Secret.Name == s.Name {
			e.Problems = append(e.Problems, doubt.Reason+"; "+doubt.Fix)
		}
	}
	return e
}

// sayMissing reports the problems of secrets that the bundle lacks.
func (p *program) sayMissing(b *bundle.Bundle) {
	for _, problem := range b.Problems() {
		if _, there := b.Get(problem.Name); !there {
			p.note("%s", strings.TrimSpace(problem.Name+" is missing: "+problem.Explain()))
		}
	}
}

func (p *program) printAll(all []explanation) {
	rows := [][]string{{"NAME", "PREVIEW", "FROM", "SHADOWS"}}
	for _, e := range all {
		var shadows []string
		for _, s := range e.Shadows {
			shadows = append(shadows, s.From)
		}
		rows = append(rows, []string{e.Name, e.Preview, e.From, cmp.Or(strings.Join(shadows, ", "), "-")})
	}
	fmt.Fprint(p.out, text.Columns(rows))
}

func (p *program) printExplanation(e explanation) {
	row := func(word, value string) {
		if value != "" {
			fmt.Fprintf(p.out, "  %-9s %s\n", word, text.Printable(value))
		}
	}
	fmt.Fprintln(p.out, p.paint(p.out, bold, e.Name))
	row("preview", e.Preview)
	row("from", e.From)
	for _, s := range e.Shadows {
		which := "another value"
		if s.Same {
			which = "the same value"
		}
		row("shadows", which+" of "+s.From)
	}
	row("kind", e.Kind)
	row("scope", e.Scope)
	if e.Version > 0 {
		row("version", fmt.Sprint(e.Version))
	}
	row("delivery", e.Delivery)
	row("fetched", moment(e.Fetched))
	row("rotated", moment(e.Rotated))
	row("expires", moment(e.Expires))
	for _, problem := range e.Problems {
		row("problem", problem)
	}
}
