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
	// brackets, such as "[DEPLOY_TOKEN]", or "[REDACTED]" for an invalid name.
	Marker string
	// KeepFor is the time for which a value stays masked after
	// [Redactor.Update] has dropped it. If negative, it is forgotten
	// immediately. Default: 24 hours.
	KeepFor time.Duration
	// IdleFlush is the time without a Write after which a [Writer] releases its
	// held-back bytes, as [Writer.Flush] does: the beginning of a secret whose
	// rest comes later is then not masked. Default: never.
	IdleFlush time.Duration
}

// Redactor holds the secrets to mask. Its methods are safe for concurrent use.
// Printing it shows no secret. Make one with [New]; the zero value is unusable.
type Redactor struct {
	// A closure rather than a pointer, as in bundle.Value: fmt and dumpers
	// follow pointers.
	core func() *core
}

// core is the state of a Redactor.
type core struct {
	opts Options
	// current is nil if it must be rebuilt.
	current atomic.Pointer[matcher]

	mu      sync.Mutex
	entries []*entry // in order of their arrival
	byKey   map[key]*entry
}

type key struct{ name, value string }

// An entry is one value of one name.
type entry struct {
	key
	forms [][]byte
	// added is set for entries from Add, bundled for those in the last Update.
	// An entry with neither is masked until the time until.
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

// Add masks secrets permanently from now on, in existing writers from their next
// Write. If a value has several names, the first one added is shown.
//
// If any of the secrets is new, the next masked text rebuilds the index of all
// secrets, which takes about 15 microseconds per secret; add many secrets in one
// call.
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

// Update masks the secrets of b, and those that they shadow, in addition to those of
// Add. b may be nil. A value of an earlier bundle that b lacks, because it was rotated,
// revoked or removed, stays masked for [Options.KeepFor], because logs often show a
// value that is no longer in use.
//
// A Redactor follows one source of bundles: with a second source, each bundle
// would drop the values of the other source.
func (r *Redactor) Update(b *bundle.Bundle) {
	c := r.core()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	was := make(map[*entry]bool, len(c.entries))
	for _, e := range c.entries {
		was[e], e.bundled = e.bundled, false
	}
	for s := range b.AllWithShadowed() {
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

// entry returns the entry of s, and creates it if necessary.
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

// forget drops the entries that have expired at now, and reports whether there
// were any.
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

// matcher returns the matcher for the current secrets.
func (c *core) matcher() *matcher {
	if m := c.current.Load(); m != nil && (m.expires.IsZero() || time.Now().Before(m.expires)) {
		return m
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if m := c.current.Load(); m != nil && (m.expires.IsZero() || now.Before(m.expires)) {
		return m // another goroutine was first
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
	m := newMatcher(append(current, kept...), c.marker) // the name of a value in use takes precedence
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

// Unmaskable returns the sorted names of the secrets in use, or shadowed by one, whose
// values are too short to be masked: without surrounding whitespace they have fewer
// than 6 bytes, and would match ordinary output. Empty values do not count, because
// they reveal nothing.
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

// streams holds idle streams.
var streams = sync.Pool{New: func() any { return new(stream) }}

// String returns text with all matches replaced by their markers. It does not
// allocate if there is no match.
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

// Bytes returns text with all matches replaced by their markers. It does not
// change text, and returns text itself if there is no match.
func (r *Redactor) Bytes(text []byte) []byte {
	s := streams.Get().(*stream)
	defer streams.Put(s)
	if out, changed := s.once(r.core().matcher(), text); changed {
		return slices.Clone(out)
	}
	return text
}
