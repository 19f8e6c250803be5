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

// Limit says how many requests are let in. The zero Limit means the default of
// the option that it is for.
type Limit struct {
	// PerSecond is how many are let in a second in the long run. A negative
	// number lifts the limit. Default: that of the option.
	PerSecond float64
	// Burst is how many are let in at once after a rest. Default: those of one
	// second, rounded up.
	Burst int
}

// The defaults leave room for ten thousand runners behind one address, and for
// as many with one token: they start together with two requests each, and a
// rotation makes all of them ask again at once.
var (
	defaultTokenLimit   = Limit{PerSecond: 200, Burst: 50_000}
	defaultAddressLimit = Limit{PerSecond: 1_000, Burst: 100_000}
	defaultFailureLimit = Limit{PerSecond: 10, Burst: 1_000}
)

// or returns l, or the default where l does not say.
func (l Limit) or(def Limit) Limit {
	if l == (Limit{}) {
		return def
	}
	l.PerSecond = cmp.Or(l.PerSecond, def.PerSecond)
	l.Burst = max(cmp.Or(l.Burst, int(math.Ceil(min(l.PerSecond, math.MaxInt32)))), 1)
	return l
}

// LimitKind says which limit held a request off.
type LimitKind string

const (
	// LimitedByToken is [Options.TokenLimit].
	LimitedByToken LimitKind = "token"
	// LimitedByAddress is [Options.AddressLimit].
	LimitedByAddress LimitKind = "address"
	// LimitedByFailures is [Options.FailureLimit].
	LimitedByFailures LimitKind = "failures"
)

const (
	// heldFor is how long a poll must have waited to cost nothing.
	heldFor = 250 * time.Millisecond
	// mostBuckets is half of how many tokens are remembered at most, and
	// addresses. Those among the latest used mostBuckets always are.
	mostBuckets = 1 << 15
	// maxRetryAfter is the longest that runners are told to stay away.
	maxRetryAfter = time.Minute
)

// limiter decides which bootstrap requests are let in.
//
// Tokens that were accepted before have a bucket of their own. What an address
// sends besides those is held off once it has failed too often: a runner with a
// good token goes on undisturbed beside one that has a bad one. A poll that was
// held back to wait costs nothing in the end, since it gives back what it took.
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

// pass is a request that was let in.
type pass struct {
	addr  string
	token [32]byte // its hash
	known bool     // the token was accepted before
	waits bool
	since time.Time
}

// admit lets a request in, or says which limit is against it and how long that
// will last. waits says that the request asks for an answer to be held back.
func (l *limiter) admit(addr, token string, waits bool) (pass, LimitKind, time.Duration) {
	p := pass{addr: addrKey(addr), token: wire.HashToken(token), waits: waits, since: time.Now()}
	p.known = l.tokens.has(p.token)
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

// settle takes note of how the request of p ended.
func (l *limiter) settle(p pass, err error) {
	refused, ok := errors.AsType[*vault.TokenError](err)
	switch {
	case ok && refused.Reason != vault.TokenRevoked && refused.Reason != vault.TokenExpired:
		l.failures.charge(p.addr)
		return
	case !p.known && (err == nil || ok || errors.Is(err, vault.ErrUnchanged)):
		// A token that has ended is not a guess: it existed.
		l.tokens.charge(p.token)
	}
	if p.waits && time.Since(p.since) >= heldFor {
		l.addrs.give(p.addr)
		if l.tokens.has(p.token) {
			l.tokens.give(p.token)
		}
	}
}

// addrKey returns what counts as one address: an IPv6 host has a /64 to choose
// from.
func addrKey(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return addr
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, _ := ip.Prefix(64) // of an address that is valid and no IPv4
	return prefix.String()
}

// buckets are token buckets, in the sense of rate limits, with one limit. Those
// that were used the longest time ago are forgotten where there are too many,
// which fills them.
type buckets[K comparable] struct {
	limit Limit

	mu         sync.Mutex
	young, old map[K]*bucket
}

type bucket struct {
	level float64 // down to minus the burst
	at    time.Time
}

// has reports whether there is a bucket for key.
func (b *buckets[K]) has(key K) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.young[key] != nil || b.old[key] != nil
}

// find returns the bucket of key as it is now, a new one if need be. The caller
// holds mu.
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

// wait returns how long it takes until there is something to take, without
// making a bucket.
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

// take takes one out of the bucket of key, or returns how long it takes until
// there is one.
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

// charge takes one out, whether or not there is one.
func (b *buckets[K]) charge(key K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := b.find(key); b.limit.PerSecond >= 0 {
		found.level = max(found.level-1, -float64(b.limit.Burst))
	}
}

// give puts one back.
func (b *buckets[K]) give(key K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := b.find(key); b.limit.PerSecond >= 0 {
		found.level = min(found.level+1, float64(b.limit.Burst))
	}
}
