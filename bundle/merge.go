package bundle

import (
	"iter"
	"slices"
	"time"
)

// Shadow describes a value that a value of a later layer shadows.
type Shadow struct {
	// Name is the name of both secrets.
	Name string
	// Winner is the origin of the value in use, Hidden that of the shadowed
	// value.
	Winner, Hidden Origin
	// Same reports whether both values are equal, so that one can be removed.
	Same bool
}

// Fix returns the instruction that ends the shadowing by removing the winner,
// such as "remove line 3 of .env".
func (s Shadow) Fix() string { return s.Winner.Removal() }

// Merge combines layers in rising precedence: if several layers have a name, the
// last one's secret wins, even if its value is empty. The result records the
// shadowed secrets for [Bundle.Trace] and [Bundle.Shadowed]. Nil layers count as
// empty. Merge does not change the layers.
//
// The [Meta] of the result has the Notices and Problems of all layers, in their
// order, except problems about a name that a later layer has. RefreshAfter is
// the shortest that is not zero. The other fields all come from one layer: the
// last that has any of them besides Revision, or else the last that has a
// Revision.
//
// Merging is associative, so a merged bundle can itself be a layer.
func Merge(layers ...*Bundle) *Bundle {
	out := &Bundle{}
	stacks := map[string][]Secret{} // winner first
	for _, layer := range slices.Backward(layers) {
		for s := range layer.All() {
			stacks[s.Name] = append(append(stacks[s.Name], s), layer.hidden[s.Name]...)
		}
	}
	for name, stack := range stacks {
		out.secrets = append(out.secrets, stack[0])
		if len(stack) > 1 {
			if out.hidden == nil {
				out.hidden = map[string][]Secret{}
			}
			out.hidden[name] = stack[1:]
		}
	}
	out.sort()

	for _, layer := range layers {
		out.meta.Problems = slices.DeleteFunc(out.meta.Problems, func(p Problem) bool {
			_, ok := layer.Get(p.Name)
			return ok
		})
		out.meta = mergeMeta(out.meta, layer.Meta())
	}
	return out
}

// mergeMeta merges upper over lower.
func mergeMeta(lower, upper Meta) Meta {
	out := upper
	if upper.about() < lower.about() {
		out = lower
	}
	out.Problems = append(slices.Clip(lower.Problems), upper.Problems...)
	out.Notices = append(slices.Clip(lower.Notices), upper.Notices...)
	out.RefreshAfter = shorter(lower.RefreshAfter, upper.RefreshAfter)
	return out
}

// about ranks how much m tells about its source: a platform identifies itself,
// other sources have at most a revision.
func (m Meta) about() int {
	switch {
	case m.Scope != "" || m.TokenID != "" || !m.IssuedAt.IsZero() || !m.TokenExpires.IsZero() || !m.RotateBy.IsZero():
		return 2
	case m.Revision != "":
		return 1
	}
	return 0
}

// shorter returns the smaller of two durations. Zero means unset.
func shorter(x, y time.Duration) time.Duration {
	if x == 0 || y == 0 {
		return max(x, y)
	}
	return min(x, y)
}

// Trace returns the origins of name: first that of the value in use, then those
// of the shadowed values, nearest layer first. It returns nil if the bundle does
// not have the name.
func (b *Bundle) Trace(name string) []Origin {
	s, ok := b.Get(name)
	if !ok {
		return nil
	}
	trace := []Origin{s.Origin}
	for _, h := range b.hidden[name] {
		trace = append(trace, h.Origin)
	}
	return trace
}

// Shadowed returns all shadowed values in order of their names; for one name,
// the nearest layer comes first.
func (b *Bundle) Shadowed() []Shadow {
	var shadows []Shadow
	for s := range b.All() {
		for _, h := range b.hidden[s.Name] {
			shadows = append(shadows, Shadow{Name: s.Name, Winner: s.Origin, Hidden: h.Origin, Same: s.Value.Equal(h.Value)})
		}
	}
	return shadows
}

// AllWithShadowed yields the secrets of [Bundle.All], each followed by the secrets that
// it shadows, nearest layer first. Their values are not in use, but secret nevertheless.
func (b *Bundle) AllWithShadowed() iter.Seq[Secret] {
	return func(yield func(Secret) bool) {
		for s := range b.All() {
			if !yield(s) {
				return
			}
			for _, h := range b.hidden[s.Name] {
				if !yield(h) {
					return
				}
			}
		}
	}
}
