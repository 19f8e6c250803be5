package bundle

import (
	"slices"
	"strings"
	"time"
)

// Diff lists the names that differ between an old and a new bundle. Each list is
// sorted and may be nil.
type Diff struct {
	// Added are the names that only the new bundle has.
	Added []string
	// Changed are the names whose value or delivery differs.
	Changed []string
	// Removed are the names that only the old bundle has.
	Removed []string
}

// Compare returns the differences between old and new that matter to a job. A
// secret counts as changed if its value or its delivery differs; its origin,
// version and times do not count. Either bundle may be nil.
func Compare(old, new *Bundle) Diff {
	var d Diff
	for s := range new.All() {
		was, ok := old.Get(s.Name)
		switch {
		case !ok:
			d.Added = append(d.Added, s.Name)
		case was.Delivery != s.Delivery || !was.Value.Equal(s.Value):
			d.Changed = append(d.Changed, s.Name)
		}
	}
	for s := range old.All() {
		if _, ok := new.Get(s.Name); !ok {
			d.Removed = append(d.Removed, s.Name)
		}
	}
	return d
}

// Empty reports whether d has no names.
func (d Diff) Empty() bool { return len(d.Added)+len(d.Changed)+len(d.Removed) == 0 }

// Touches reports whether d has at least one of names or, without names, whether
// d is not empty.
func (d Diff) Touches(names ...string) bool {
	for _, list := range [][]string{d.Added, d.Changed, d.Removed} {
		if len(names) == 0 && len(list) > 0 || slices.ContainsFunc(names, func(name string) bool { return slices.Contains(list, name) }) {
			return true
		}
	}
	return false
}

// String returns the names, as in "added A, B; removed C", or "no change".
func (d Diff) String() string {
	var parts []string
	add := func(verb string, names []string) {
		if len(names) > 0 {
			parts = append(parts, verb+" "+strings.Join(names, ", "))
		}
	}
	add("added", d.Added)
	add("changed", d.Changed)
	add("removed", d.Removed)
	if parts == nil {
		return "no change"
	}
	return strings.Join(parts, "; ")
}

// Equal reports whether b and c have the same secrets, shadowed secrets and
// [Meta]. Times are compared as instants, and a nil bundle equals an empty one.
// Providers use it to detect that nothing has changed.
func (b *Bundle) Equal(c *Bundle) bool {
	if b == c {
		return true
	}
	if b.Len() != c.Len() || !equalMeta(b.Meta(), c.Meta()) {
		return false
	}
	if b.Len() == 0 {
		return true
	}
	for i, s := range b.secrets {
		if !equalSecret(s, c.secrets[i]) || !slices.EqualFunc(b.hidden[s.Name], c.hidden[s.Name], equalSecret) {
			return false
		}
	}
	return true
}

func equalSecret(x, y Secret) bool {
	return x.Name == y.Name && x.Origin == y.Origin && x.Kind == y.Kind && x.Scope == y.Scope &&
		x.Version == y.Version && x.Delivery == y.Delivery && x.Literal == y.Literal &&
		equalTimes(x.Created, y.Created, x.Rotated, y.Rotated, x.Expires, y.Expires) && x.Value.Equal(y.Value)
}

func equalMeta(x, y Meta) bool {
	return x.Revision == y.Revision && x.RefreshAfter == y.RefreshAfter && x.Scope == y.Scope && x.TokenID == y.TokenID &&
		equalTimes(x.IssuedAt, y.IssuedAt, x.TokenExpires, y.TokenExpires, x.RotateBy, y.RotateBy) &&
		slices.Equal(x.Problems, y.Problems) && slices.Equal(x.Notices, y.Notices)
}

// equalTimes compares times in pairs, regardless of their zones.
func equalTimes(pairs ...time.Time) bool {
	for i := 0; i < len(pairs); i += 2 {
		if !pairs[i].Equal(pairs[i+1]) {
			return false
		}
	}
	return true
}
