package bundle

import (
	"cmp"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Bundle is an immutable set of secrets with distinct names. A nil *Bundle is a
// valid empty bundle. Bundles are safe for concurrent use.
type Bundle struct {
	secrets []Secret       // sorted by name
	index   map[string]int // of secrets, by name
	// hidden holds, by name, the secrets that Merge shadowed, nearest layer
	// first.
	hidden map[string][]Secret
	meta   Meta
	// standIn marks the bundle that Optional returns instead of a first failure.
	standIn bool
}

// Meta is the information that a source gives about a bundle as a whole. Every
// field is optional.
type Meta struct {
	// Revision identifies the content of the bundle at its source. Default:
	// empty, for a source without revisions.
	Revision string
	// RefreshAfter is the time after which the source wants the next fetch.
	// Default: 0, for no preference.
	RefreshAfter time.Duration
	// Problems lists the secrets that are missing from the bundle, with the
	// reasons. Default: none.
	Problems []Problem
	// Notices are sentences for the operators of the runner. Default: none.
	Notices []string
	// Scope is the vault scope that the bundle was made for. Default: empty.
	Scope string
	// TokenID identifies the runner token that fetched the bundle. It is not a
	// secret. Default: empty.
	TokenID string
	// IssuedAt is the time at which the source made the bundle. Default: zero,
	// for unknown.
	IssuedAt time.Time
	// TokenExpires is the time at which the token expires, RotateBy the time by
	// which it should be replaced. Default: zero, for unknown.
	TokenExpires, RotateBy time.Time
}

// tokenSoon is the remaining lifetime below which a token is due for rotation,
// unless its source names an earlier time.
const tokenSoon = 7 * 24 * time.Hour

// TokenDue reports whether the token is due for rotation at now: RotateBy has
// passed or, if RotateBy is zero or not before TokenExpires, the token expires
// within seven days. It returns false if neither time is known.
func (m Meta) TokenDue(now time.Time) bool {
	end, hint := m.TokenExpires.Round(0), m.RotateBy.Round(0)
	if !hint.IsZero() && (end.IsZero() || hint.Before(end)) {
		return hint.Before(now.Round(0))
	}
	return !end.IsZero() && end.Sub(now.Round(0)) < tokenSoon
}

// Problem explains why a secret, or a whole source, is missing from a bundle.
type Problem struct {
	// Name is the name of the secret, or empty if the problem concerns the
	// source as a whole.
	Name string
	// Origin is the place that the secret should have come from.
	Origin Origin
	// Reason is a sentence for people. It holds no secret value.
	Reason string
	// Retryable reports whether the problem may go away without a fix.
	Retryable bool
}

// Explain returns the origin and the reason, such as "github acme: the
// installation is suspended". It omits an empty origin.
func (p Problem) Explain() string {
	return strings.TrimPrefix(p.Origin.String()+": "+p.Reason, ": ")
}

// New returns a bundle of secrets. It copies its arguments; meta may be nil. It
// fails if a name occurs twice, if a secret breaks the rules of [CheckName] or
// [CheckValue], or if its [Delivery] is unknown. The error names the secret and
// its origin.
func New(secrets []Secret, meta *Meta) (*Bundle, error) {
	b := &Bundle{secrets: slices.Clone(secrets)}
	for i := range b.secrets {
		s := &b.secrets[i]
		s.Delivery = cmp.Or(s.Delivery, DeliverEnv)
		if err := s.check(); err != nil {
			return nil, err
		}
	}
	b.sort()
	for i := 1; i < len(b.secrets); i++ {
		if x, y := b.secrets[i-1], b.secrets[i]; x.Name == y.Name {
			places := ""
			if x.Origin != (Origin{}) || y.Origin != (Origin{}) {
				places = fmt.Sprintf(": %s and %s", x.Origin, y.Origin)
			}
			return nil, fmt.Errorf("secret %q occurs twice%s; remove one", x.Name, places)
		}
	}
	if meta != nil {
		b.meta = meta.clone()
	}
	return b, nil
}

func (m Meta) clone() Meta {
	m.Problems = slices.Clone(m.Problems)
	m.Notices = slices.Clone(m.Notices)
	return m
}

// Meta returns a copy of the bundle's metadata.
func (b *Bundle) Meta() Meta {
	if b == nil {
		return Meta{}
	}
	return b.meta.clone()
}

// Get returns the secret called name. It returns false if the bundle does not
// have it.
func (b *Bundle) Get(name string) (Secret, bool) {
	if b == nil {
		return Secret{}, false
	}
	i, ok := b.index[name]
	if !ok {
		return Secret{}, false
	}
	return b.secrets[i], true
}

// sort orders the secrets and builds the index. It is the last step of making a
// bundle.
func (b *Bundle) sort() {
	slices.SortStableFunc(b.secrets, func(x, y Secret) int { return strings.Compare(x.Name, y.Name) })
	b.index = make(map[string]int, len(b.secrets))
	for i := range b.secrets {
		b.index[b.secrets[i].Name] = i
	}
}

// All yields the secrets in order of their names.
func (b *Bundle) All() iter.Seq[Secret] {
	return func(yield func(Secret) bool) {
		if b == nil {
			return
		}
		for _, s := range b.secrets {
			if !yield(s) {
				return
			}
		}
	}
}

// Len returns the number of secrets, without shadowed ones.
func (b *Bundle) Len() int {
	if b == nil {
		return 0
	}
	return len(b.secrets)
}

// Revision returns the [Meta.Revision] of the bundle.
func (b *Bundle) Revision() string {
	if b == nil {
		return ""
	}
	return b.meta.Revision
}

// Expires returns the earliest expiry of the secrets, or the zero time if none
// expires.
func (b *Bundle) Expires() time.Time {
	var first time.Time
	for s := range b.All() {
		if !s.Expires.IsZero() && (first.IsZero() || s.Expires.Before(first)) {
			first = s.Expires
		}
	}
	return first
}

// Problems returns a copy of the [Meta.Problems] of the bundle.
func (b *Bundle) Problems() []Problem { return b.Meta().Problems }

// Environ returns secrets as "NAME=value" in plaintext, for [os/exec.Cmd.Env].
// Without names it returns all secrets in order of their names, otherwise the
// named ones in the given order. It skips names that the bundle does not have,
// and secrets whose [Delivery] is not DeliverEnv.
//
// If a list of names may be empty, check it first: no names means all secrets.
func (b *Bundle) Environ(names ...string) []string {
	var env []string
	add := func(s Secret) {
		if s.Delivery == DeliverEnv {
			env = append(env, s.Name+"="+s.Value.Reveal())
		}
	}
	if len(names) == 0 {
		for s := range b.All() {
			add(s)
		}
		return env
	}
	for _, name := range names {
		if s, ok := b.Get(name); ok {
			add(s)
		}
	}
	return env
}

// String returns the number of secrets and their names, without values.
func (b *Bundle) String() string {
	return fmt.Sprintf("bundle of %d: %s", b.Len(), strings.Join(b.names(), ", "))
}

// LogValue returns a group of the revision and the names, without values.
func (b *Bundle) LogValue() slog.Value {
	return slog.GroupValue(slog.String("revision", b.Revision()), slog.Any("names", b.names()))
}

func (b *Bundle) names() []string {
	names := make([]string, 0, b.Len())
	for s := range b.All() {
		names = append(names, s.Name)
	}
	return names
}
