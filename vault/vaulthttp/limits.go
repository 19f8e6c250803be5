package vaulthttp

import (
	"cmp"
	"errors"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
)

// Limit is a rate limit: a token bucket. The zero Limit means the default of the
// option.
type Limit struct {
	// PerSecond is the number of requests per second in the long run. A negative
	// number disables the limit. Default: that of the option.
	PerSecond float64
	// Burst is the number of requests admitted together after a pause.
	// Default: PerSecond, rounded up, and at least 1.
	Burst int
}

// The defaults leave room for ten thousand runners behind one address, and for some
// hundred with one token: all start together with two requests each, and a rotation
// makes all of them send a request at the same time. The limit of a token bounds the
// audit entries that it can cause; docs/audit.md has the numbers.
var (
	defaultTokenLimit   = Limit{PerSecond: 1, Burst: 1_000}
	defaultAddressLimit = Limit{PerSecond: 1_000, Burst: 100_000}
	defaultFailureLimit = Limit{PerSecond: 10, Burst: 1_000}
)

// or returns l with its zero fields set to defaults.
func (l Limit) or(def Limit) Limit {
	if l == (Limit{}) {
		return def
	}
	l.PerSecond = cmp.Or(l.PerSecond, def.PerSecond)
	l.Burst = max(cmp.Or(l.Burst, int(math.Ceil(min(l.PerSecond, math.MaxInt32)))), 1)
	return l
}

// LimitKind names the limit that refused a request.
type LimitKind string

const (
	// LimitedByToken refers to [Options.TokenLimit].
	LimitedByToken LimitKind = "token"
	// LimitedByAddress refers to [Options.AddressLimit].
	LimitedByAddress LimitKind = "address"
	// LimitedByFailures refers to [Options.FailureLimit].
	LimitedByFailures LimitKind = "failures"
)

const (
	// heldFor is the shortest wait after which a poll is refunded.
	heldFor = 250 * time.Millisecond
	// mostBuckets is half of the largest number of tokens, and of addresses, that are
	// remembered. The last mostBuckets that were used always are.
	mostBuckets = 1 << 15
	// maxRetryAfter is the longest Retry-After of a limit.
	maxRetryAfter = time.Minute
)

// limiter decides which bootstrap requests are admitted.
//
// Each token that was accepted before has its own bucket. Once an address has too
// many failures, its requests with other tokens are refused; a runner with a valid
// token is not affected by one with an invalid token. A poll that waited for a change
// of the current bundle is refunded. One that asks with an older revision gets a bundle
// immediately, and counts even if that takes long.
type limiter struct {
	tokens   *buckets[[32]byte] // by hash; only tokens that were accepted
	addrs    *buckets[string]
	failures *buckets[string] // by address
}

func newLimiter(opts *Options) *limiter {
	return &limiter{
		tokens:   &buckets[[32]byte]{limit: opts.TokenLimit.or(defaultTokenLimit)},
		addrs:    &buckets[string]{limit: opts.AddressLimit.or(defaultAddressLimit)},
		failures: &buckets[string]{limit: opts.FailureLimit.or(defaultFailureLimit)},
	}
}

// pass is a request that was admitted.
type pass struct {
	addr  string
	token [32]byte // its hash
	known bool     // the token was accepted before
	waits bool
	// revision is that of the request, and current reports that it was the newest
	// that the token had here.
	revision string
	current  bool
	since    time.Time
}

// admit admits a request, or returns the limit that refuses it and the time until
// it may be retried. revision is the one that the runner has, or empty; waits is true
// if the request asks to wait for a change of it.
func (l *limiter) admit(addr, token, revision string, waits bool) (pass, LimitKind, time.Duration) {
	p := pass{addr: addrKey(addr), token: wire.HashToken(token), waits: waits, revision: revision, since: time.Now()}
	var newest string
	newest, p.known = l.tokens.noted(p.token)
	p.current = p.known && newest == revision
	if !p.known {
		if wait := l.failures.wait(p.addr); wait > 0 {
			return p, LimitedByFailures, wait
		}
	}
	if wait := l.addrs.take(p.addr); wait > 0 {
		return p, LimitedByAddress, wait
	}
	if p.known {
		if wait := l.tokens.take(p.token); wait > 0 {
			return p, LimitedByToken, wait
		}
	}
	return p, "", 0
}

// settle records the outcome of the request of p. revision is that of the delivered
// bundle, or empty.
func (l *limiter) settle(p pass, revision string, err error) {
	refused, ok := errors.AsType[*vault.TokenError](err)
	switch {
	case ok && refused.Reason != vault.TokenRevoked && refused.Reason != vault.TokenExpired:
		l.failures.charge(p.addr)
		return
	case !p.known && (err == nil || ok || errors.Is(err, vault.ErrUnchanged)):
		// An expired or revoked token is not a guess, because it existed.
		l.tokens.charge(p.token)
	}
	switch {
	case err == nil:
		l.tokens.note(p.token, revision)
	case errors.Is(err, vault.ErrUnchanged):
		l.tokens.note(p.token, p.revision)
	}
	if p.waits && time.Since(p.since) >= heldFor && (err != nil || p.current) {
		l.addrs.give(p.addr)
		if l.tokens.has(p.token) {
			l.tokens.give(p.token)
		}
	}
}

// addrKey returns the key that an address of addrOf is counted under. IPv6 addresses
// share the key of their /64, because a host can use all of it.
func addrKey(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return addr
	}
	if ip.Is4() {
		return addr
	}
	prefix, _ := ip.Prefix(64) // cannot fail: ip is a valid IPv6 address
	return prefix.String()
}

// buckets are token buckets with one limit. If there are too many, the least
// recently used ones are forgotten, which refills them.
type buckets[K comparable] struct {
	limit Limit

	mu         sync.Mutex
	young, old map[K]*bucket
}

type bucket struct {
	level float64 // may be negative, down to minus the burst
	at    time.Time
	note  string
}

// has reports whether key has a bucket.
func (b *buckets[K]) has(key K) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.young[key] != nil || b.old[key] != nil
}

// noted returns the last note about key, and whether key has a bucket.
func (b *buckets[K]) noted(key K) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := cmp.Or(b.young[key], b.old[key])
	if found == nil {
		return "", false
	}
	return found.note, true
}

// note replaces the note about key, if key has a bucket.
func (b *buckets[K]) note(key K, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := cmp.Or(b.young[key], b.old[key]); found != nil {
		found.note = text
	}
}

// find returns the bucket of key with its current level, and creates it if
// necessary. The caller holds mu.
func (b *buckets[K]) find(key K) *bucket {
	t := time.Now()
	found := b.young[key]
	if found == nil {
		if found = b.old[key]; found == nil {
			found = &bucket{level: float64(b.limit.Burst), at: t}
		}
		if len(b.young) >= mostBuckets {
			b.young, b.old = nil, b.young
		}
		if b.young == nil {
			b.young = map[K]*bucket{}
		}
		b.young[key] = found
	}
	if t.After(found.at) {
		found.level = min(float64(b.limit.Burst), found.level+t.Sub(found.at).Seconds()*b.limit.PerSecond)
		found.at = t
	}
	return found
}

// wait returns the time until a request can be taken, without creating a bucket.
func (b *buckets[K]) wait(key K) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit.PerSecond < 0 || b.young[key] == nil && b.old[key] == nil {
		return 0
	}
	return b.missing(b.find(key))
}

func (b *buckets[K]) missing(found *bucket) time.Duration {
	if found.level >= 1 {
		return 0
	}
	seconds := (1 - found.level) / b.limit.PerSecond
	return time.Duration(max(min(seconds, maxRetryAfter.Seconds())*float64(time.Second), 1))
}

// take takes one request out of the bucket of key, or returns the time until that
// is possible.
func (b *buckets[K]) take(key K) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.find(key)
	if b.limit.PerSecond < 0 {
		return 0
	}
	wait := b.missing(found)
	if wait == 0 {
		found.level--
	}
	return wait
}

// charge takes one request out of the bucket of key, even if it is empty.
func (b *buckets[K]) charge(key K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := b.find(key); b.limit.PerSecond >= 0 {
		found.level = max(found.level-1, -float64(b.limit.Burst))
	}
}

// give puts one request back.
func (b *buckets[K]) give(key K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := b.find(key); b.limit.PerSecond >= 0 {
		found.level = min(found.level+1, float64(b.limit.Burst))
	}
}
