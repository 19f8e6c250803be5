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

// Bundle is an immutable set of secrets with distinct names. A nil *Bundle is
// an empty one. Bundles are safe for concurrent use.
type Bundle struct {
	secrets []Secret       // sorted by name
	index   map[string]int // of secrets, by name
	// hidden holds, by name, the secrets that a Merge put this one's secret of
	// that name before: nearest first.
	hidden map[string][]Secret
	meta   Meta
	// standIn marks what Optional returns instead of a first failure.
	standIn bool
}

// Meta is what a source says about a bundle as a whole. Every field may be
// zero.
type Meta struct {
	// Revision identifies the content of the bundle at its source.
	Revision string
	// RefreshAfter is when the source wants to be asked again.
	RefreshAfter time.Duration
	// Problems says what is missing from the bundle, and why.
	Problems []Problem
	// Notices are sentences for the people who run the runner.
	Notices []string
	// Scope is the vault scope that the bundle was made for.
	Scope string
	// TokenID names the token that fetched the bundle. It is no secret.
	TokenID string
	// IssuedAt is when the source made the bundle.
	IssuedAt time.Time
	// TokenExpires is when the token ends; RotateBy is when it should be
	// replaced.
	TokenExpires, RotateBy time.Time
}

// tokenSoon is how long before its end a token is due for its rotation, unless
// its source names an earlier time for that.
const tokenSoon = 7 * 24 * time.Hour

// TokenDue reports whether the token should have been rotated by now: the time
// that the source named for that has passed or, if it named none before the
// token ends, the token ends within seven days.
func (m Meta) TokenDue(now time.Time) bool {
	end, hint := m.TokenExpires.Round(0), m.RotateBy.Round(0)
	if !hint.IsZero() && (end.IsZero() || hint.Before(end)) {
		return hint.Before(now.Round(0))
	}
	return !end.IsZero() && end.Sub(now.Round(0)) < tokenSoon
}

// Problem is something that is missing from a bundle.
type Problem struct {
	// Name is the secret's. It is empty if the problem is the source's.
	Name string
	// Origin is where the secret should have come from.
	Origin Origin
	// Reason is a sentence for people. It holds no values.
	Reason string
	// Retryable says that the problem may go away by itself.
	Retryable bool
}

// Explain returns the origin and the reason, such as "github acme: the
// installation is suspended".
func (p Problem) Explain() string {
	return strings.TrimPrefix(p.Origin.String()+": "+p.Reason, ": ")
}

// New returns a bundle of secrets. It copies what it is given; meta may be
// nil. It fails if a name occurs twice or a secret breaks the rules of
// [CheckName] and [CheckValue]; the error names the secret and its origin.
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

// Meta returns what the source said about the bundle. The caller owns the
// answer.
func (b *Bundle) Meta() Meta {
	if b == nil {
		return Meta{}
	}
	return b.meta.clone()
}

// Get returns the secret called name, and whether there is one.
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

// sort puts the secrets in order and makes the index. The last step of making
// a bundle.
func (b *Bundle) sort() {
	slices.SortStableFunc(b.secrets, func(x, y Secret) int { return strings.Compare(x.Name, y.Name) })
	b.index = make(map[string]int, len(b.secrets))
	for i := range b.secrets {
		b.index[b.secrets[i].Name] = i
	}
}

// All yields the secrets in the order of their names.
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

// Len returns the number of secrets.
func (b *Bundle) Len() int {
	if b == nil {
		return 0
	}
	return len(b.secrets)
}

// Revision identifies the content of the bundle at its source. It is empty
// where the source has no revisions.
func (b *Bundle) Revision() string {
	if b == nil {
		return ""
	}
	return b.meta.Revision
}

// Expires returns the time at which the first of the secrets expires, or the
// zero time if none does.
func (b *Bundle) Expires() time.Time {
	var first time.Time
	for s := range b.All() {
		if !s.Expires.IsZero() && (first.IsZero() || s.Expires.Before(first)) {
			first = s.Expires
		}
	}
	return first
}

// Problems says what is missing from the bundle, and why. The caller owns the
// answer.
func (b *Bundle) Problems() []Problem { return b.Meta().Problems }

// Environ returns the secrets as "NAME=value", for [os/exec.Cmd.Env]: all of
// them in the order of their names, or those with the given names in the order
// given. It leaves out names that the bundle does not have, and secrets that
// are not delivered by environment. A list of names that may be empty has to be
// looked at before: no name means all.
//
// The answer holds plaintext.
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

// String returns the names and no values.
func (b *Bundle) String() string {
	return fmt.Sprintf("bundle of %d: %s", b.Len(), strings.Join(b.names(), ", "))
}

// LogValue logs the revision and the names.
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
