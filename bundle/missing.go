package bundle

import (
	"slices"
	"strings"
)

// MissingError is the error of [Bundle.Require]: the bundle lacks required
// secrets.
type MissingError struct {
	// Names are the missing names, sorted and without duplicates.
	Names []string
	// Problems are the bundle's problems about one of Names or about a source as
	// a whole.
	Problems []Problem
}

// Error returns the missing names, each with its problems, and the fix.
func (e *MissingError) Error() string {
	var names, sources []string
	for _, name := range e.Names {
		var reasons []string
		for _, p := range e.Problems {
			if p.Name == name {
				reasons = append(reasons, p.Explain())
			}
		}
		if reasons != nil {
			name += " (" + strings.Join(reasons, "; ") + ")"
		}
		names = append(names, name)
	}
	for _, p := range e.Problems {
		if p.Name == "" {
			sources = append(sources, "; "+p.Explain())
		}
	}
	return "required secrets are missing: " + strings.Join(names, ", ") + strings.Join(sources, "") +
		"; add them on the platform, or to a local layer"
}

// Require returns nil if the bundle has all the named secrets, and otherwise a
// [*MissingError] that lists the missing ones. An empty value counts as present.
func (b *Bundle) Require(names ...string) error {
	var e MissingError
	for _, name := range names {
		if _, ok := b.Get(name); !ok {
			e.Names = append(e.Names, name)
		}
	}
	if e.Names == nil {
		return nil
	}
	slices.Sort(e.Names)
	e.Names = slices.Compact(e.Names)
	for _, p := range b.Problems() {
		if p.Name == "" || slices.Contains(e.Names, p.Name) {
			e.Problems = append(e.Problems, p)
		}
	}
	return &e
}
