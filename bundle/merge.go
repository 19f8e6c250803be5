package bundle

import (
	"slices"
	"time"
)

// Shadow is a value that a merge hid.
type Shadow struct {
	Name string
	// Winner is the origin of the value in use, Hidden that of the other.
	Winner, Hidden Origin
	// Same says that both are the same value, so that one can go.
	Same bool
}

// Fix returns how to end the shadowing: the instruction that removes the winner,
// such as "remove line 3 of .env".
func (s Shadow) Fix() string { return s.Winner.Removal() }

// Merge lays bundles over each other in rising precedence: where several hold
// a name, the last one's secret wins, even if its value is empty. The answer
// remembers what was hidden, for [Bundle.Trace] and [Bundle.Shadowed]. Nil
// layers count as empty.
//
// Of the [Meta], Notices are those of all layers, and so are Problems, without
// those of names that a later layer has. RefreshAfter is the shortest. The rest
// is about one source: the last layer with more of it than a Revision, or else
// the last with a Revision.
//
// Merging is associative: a merged bundle is as good a layer as any.
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

// mergeMeta lays upper over lower.
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

// about says how much m tells about its source: a platform's more than that of
// one that only has revisions.
func (m Meta) about() int {
	switch {
	case m.Scope != "" || m.TokenID != "" || !m.IssuedAt.IsZero() || !m.TokenExpires.IsZero() || !m.RotateBy.IsZero():
		return 2
	case m.Revision != "":
		return 1
	}
	return 0
}

// shorter returns the smaller of two durations of which zero means none.
func shorter(x, y time.Duration) time.Duration {
	if x == 0 || y == 0 {
		return max(x, y)
	}
	return min(x, y)
}

// Trace returns the origins of name: first that of the value in use, then
// those of what it hides, nearest first. It is empty if the bundle does not
// have the name.
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

// Shadowed returns everything that is hidden by a value of the same name, in
// the order of names, and nearest first within one.
func (b *Bundle) Shadowed() []Shadow {
	var shadows []Shadow
	for s := range b.All() {
		for _, h := range b.hidden[s.Name] {
			shadows = append(shadows, Shadow{Name: s.Name, Winner: s.Origin, Hidden: h.Origin, Same: s.Value.Equal(h.Value)})
		}
	}
	return shadows
}
