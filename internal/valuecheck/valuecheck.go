// Package valuecheck recognizes values in local files that were probably not meant
// as they are, such as a reference that another tool would have expanded. Satchel
// expands nothing, so a job would get the text itself.
//
// Each [Class] has a function that looks for it; [Inspect] tries them in turn.
package valuecheck

import "github.com/satchelhq/satchel/bundle"

// Class is a kind of value that was probably not meant as it is.
type Class string

// Reference is a value that refers to something: a variable, the output of a command,
// an entry of a password manager.
const Reference Class = "reference"

// Finding is the reason to doubt a value. Its texts contain no part of the value.
type Finding struct {
	// Class is the kind of the value.
	Class Class
	// Reason completes a sentence about the value, such as "refers to a file".
	Reason string
	// Fix is the remedy.
	Fix string
}

// Context is the information about a value that its text does not have.
type Context struct {
	// Literal means that the source marks the text as literal; see
	// [bundle.Secret.Literal].
	Literal bool
	// Known reports whether a name is that of another value of the same source, or of
	// the same runner. Default: nil, no name is known.
	Known func(name string) bool
}

// Inspect returns the reason to doubt a value, and whether there is one. It is a
// heuristic: a value with a finding can still be meant as it is.
func Inspect(value string, c Context) (Finding, bool) {
	target, quotes := reference(value, c)
	if target == "" {
		return Finding{}, false
	}
	fix := "write the value itself"
	if quotes {
		fix += "; if the text is meant, single quotes in a .env file say so"
	}
	return Finding{Class: Reference, Reason: "refers to " + target + ", which is not expanded: jobs get this text", Fix: fix}, true
}

// Doubt is a finding about a secret.
type Doubt struct {
	Finding
	// Secret is the secret.
	Secret bundle.Secret
}

// Doubts returns the findings about the secrets in use that are not from a platform, in
// the order of their names.
func Doubts(b *bundle.Bundle) []Doubt {
	known := func(name string) bool { _, ok := b.Get(name); return ok }
	var doubts []Doubt
	for s := range b.All() {
		if s.Scope != "" {
			continue
		}
		if found, ok := Inspect(s.Value.Reveal(), Context{Literal: s.Literal, Known: known}); ok {
			doubts = append(doubts, Doubt{found, s})
		}
	}
	return doubts
}
