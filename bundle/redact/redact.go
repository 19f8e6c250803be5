package redact

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// Options are the settings of a [Redactor].
type Options struct {
	// Marker replaces every match. Default: the name of the secret in
	// brackets, such as "[DEPLOY_TOKEN]".
	Marker string
	// KeepFor is how long a value that [Redactor.Update] no longer has is
	// still masked. A negative one forgets it at once. Default: 24 hours.
	KeepFor time.Duration
	// IdleFlush is the time without a Write after which a [Writer] releases
	// what it holds back, as [Writer.Flush] does: the beginning of a secret
	// whose rest comes later is then not masked. Default: never.
	IdleFlush time.Duration
}

// Redactor knows the secrets to mask. Its methods are safe for concurrent use.
// It does not print what it knows. Make one with [New].
type Redactor struct {
	// A closure rather than a pointer, as in bundle.Value: fmt and dumpers
	// follow pointers.
	core func() *core
}

// core is what a Redactor knows.
type core struct {
	opts Options
	// current is nil while it has to be built again.
	current atomic.Pointer[matcher]

	mu      sync.Mutex
	entries []*entry // in the order in which they came
	byKey   map[key]*entry
}

type key struct{ name, value string }

// An entry is one value of one name.
type entry struct {
	key
	forms [][]byte
	// added says that Add gave it, bundled that the last Update did. With
	// neither it is masked until the time until.
	added, bundled bool
	until          time.Time
}

func (e *entry) current() bool { return e.added || e.bundled }

// New returns a Redactor that masks secrets, with the default options.
func New(secrets ...bundle.Secret) *Redactor { return NewWithOptions(nil, secrets...) }

// NewWithOptions returns a Redactor that masks secrets. opts may be nil.
func NewWithOptions(opts *Options, secrets ...bundle.Secret) *Redactor {
	c := &core{byKey: map[key]*entry{}}
	if opts != nil {
		c.opts = *opts
	}
	c.opts.KeepFor = cmp.Or(c.opts.KeepFor, 24*time.Hour)
	r := &Redactor{core: func() *core { return c }}
	r.Add(secrets...)
	return r
}

// Add masks secrets from now on, for as long as r is used: in writers that
// exist too, from their next Write. Of a value with several names the first
// name given is shown.
//
// After secrets that are new, the next text takes the time of building an index
// of all that is known, some 15 microseconds for each secret: many secrets are
// best added in one call.
func (r *Redactor) Add(secrets ...bundle.Secret) {
	c := r.core()
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := false
	for _, s := range secrets {
		e := c.entry(s)
		changed = changed || !e.current()
		e.added = true
	}
	if changed {
		c.current.Store(nil)
	}
}

// Update makes the secrets of b, which may be nil, those that are masked
// besides the ones that were added. A value that was in the bundle before and
// no longer is, because it was rotated, revoked or removed, stays masked for
// [Options.KeepFor]: logs often show a value after its end.
//
// A Redactor follows one source of bundles: what another one gives it would
// count as gone with the next bundle of the first.
func (r *Redactor) Update(b *bundle.Bundle) {
	c := r.core()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	was := make(map[*entry]bool, len(c.entries))
	for _, e := range c.entries {
		was[e], e.bundled = e.bundled, false
	}
	for s := range b.All() {
		c.entry(s).bundled = true
	}
	changed := false
	for _, e := range c.entries {
		if e.bundled != was[e] && !e.added {
			changed = true
		}
		if was[e] && !e.bundled {
			e.until = now.Add(c.opts.KeepFor)
		}
	}
	if c.forget(now) || changed {
		c.current.Store(nil)
	}
}

// entry returns the entry of s, a new one if need be.
func (c *core) entry(s bundle.Secret) *entry {
	k := key{s.Name, s.Value.Reveal()}
	e, ok := c.byKey[k]
	if !ok {
		e = &entry{key: k, forms: forms(k.value)}
		c.byKey[k] = e
		c.entries = append(c.entries, e)
	}
	return e
}

// forget drops what is masked no longer at now, and says whether there was any.
func (c *core) forget(now time.Time) bool {
	known := len(c.entries)
	c.entries = slices.DeleteFunc(c.entries, func(e *entry) bool {
		gone := !e.current() && !now.Before(e.until)
		if gone {
			delete(c.byKey, e.key)
		}
		return gone
	})
	return len(c.entries) < known
}

// matcher returns what to mask now.
func (c *core) matcher() *matcher {
	if m := c.current.Load(); m != nil && (m.expires.IsZero() || time.Now().Before(m.expires)) {
		return m
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if m := c.current.Load(); m != nil && (m.expires.IsZero() || now.Before(m.expires)) {
		return m // somebody else was first
	}
	c.forget(now)
	var current, kept []source
	var expires time.Time
	for _, e := range c.entries {
		s := source{marker: c.marker(e.name), forms: e.forms}
		if e.current() {
			current = append(current, s)
			continue
		}
		kept = append(kept, s)
		if expires.IsZero() || e.until.Before(expires) {
			expires = e.until
		}
	}
	m := newMatcher(append(current, kept...)) // a value in use has the better claim to its name
	m.expires = expires
	c.current.Store(m)
	return m
}

func (c *core) marker(name string) []byte {
	if c.opts.Marker != "" {
		return []byte(c.opts.Marker)
	}
	if bundle.CheckName(name) != nil {
		return []byte("[REDACTED]")
	}
	return []byte("[" + name + "]")
}

// Unmaskable returns the names of the secrets in use whose values are too short
// to be masked, sorted: without the blanks around them they have fewer than 6
// bytes, and would be found all over ordinary output. Empty values do not count:
// they give nothing away.
func (r *Redactor) Unmaskable() []string {
	c := r.core()
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, e := range c.entries {
		if e.current() && e.value != "" && len(strings.TrimSpace(e.value)) < minForm {
			names = append(names, e.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// streams are idle.
var streams = sync.Pool{New: func() any { return new(stream) }}

// String returns text with all matches replaced.
func (r *Redactor) String(text string) string { return r.core().matcher().mask(text) }

// mask returns text with all matches replaced.
func (m *matcher) mask(text string) string {
	s := streams.Get().(*stream)
	defer streams.Put(s)
	s.in = append(s.in[:0], text...)
	if out, changed := s.once(m, s.in); changed {
		return string(out)
	}
	return text
}

// Bytes returns text with all matches replaced. It does not change text, and
// returns text itself if there is no match.
func (r *Redactor) Bytes(text []byte) []byte {
	s := streams.Get().(*stream)
	defer streams.Put(s)
	if out, changed := s.once(r.core().matcher(), text); changed {
		return slices.Clone(out)
	}
	return text
}
