package keyring

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Bounds of the back-off for one record while the key service is unavailable. The
// back-off doubles with each failure.
const (
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
)

// sweepInterval is the time between two sweeps for keys past their hard age.
const sweepInterval = time.Minute

// A cache holds the data keys that a keyring has opened and the flights that are
// opening others. Entries are found by the digest in a request, which covers the
// record and the context: a hit means that the KEK and the record's MAC accepted both.
type cache struct {
	softAge, hardAge time.Duration
	log              *slog.Logger

	mu       sync.Mutex // never held during a call
	keys     *lru[*cachedKey]
	failures *lru[*failure] // apart from keys, so that an outage evicts no good key
	flights  map[[32]byte]*flight
	swept    time.Time // when sweep last looked at all keys
}

// A cachedKey is a data key and the time at which a KEK last unwrapped it.
type cachedKey struct {
	key     *sharedKey // one reference is the cache's
	fetched time.Time
	soft    time.Duration // the soft age with the random spread of this entry
}

// A failure remembers that no KEK was available for a record.
type failure struct {
	err   error
	wait  time.Duration
	until time.Time
}

func newCache(o Options) *cache {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &cache{
		softAge:  o.SoftAge,
		hardAge:  o.HardAge,
		log:      log,
		keys:     newLRU[*cachedKey](o.CacheEntries),
		failures: newLRU[*failure](o.CacheEntries),
		flights:  make(map[[32]byte]*flight),
	}
}

// advice is the result of find.
type advice int

const (
	hit   advice = iota // use the key
	renew               // use the key and renew it in the background
	miss                // a KEK must be called
)

// find returns a key with a reference for the caller, a remembered failure, or a
// miss. The caller holds the lock.
func (c *cache) find(id [32]byte, now time.Time) (*sharedKey, advice, error) {
	failed, quiet := c.failures.get(id)
	quiet = quiet && now.Before(failed.until)
	entry, ok := c.keys.get(id)
	if ok && now.Sub(entry.fetched) >= c.hardAge {
		c.drop(id, entry)
		ok = false
	}
	if !ok && quiet {
		return nil, miss, failed.err
	}
	if !ok {
		return nil, miss, nil
	}
	age := now.Sub(entry.fetched)
	switch {
	case age >= entry.soft && !quiet:
		return nil, miss, nil
	case age >= entry.soft*8/10 && !quiet:
		entry.key.retain(1)
		return entry.key, renew, nil
	}
	entry.key.retain(1)
	return entry.key, hit, nil
}

// settle takes the outcome of a flight, with the flight's reference to key. It
// returns the outcome for the waiters and a message to log once the lock is
// released. The caller holds the lock.
func (c *cache) settle(id [32]byte, key *sharedKey, err error, now time.Time) (_ *sharedKey, warning string, _ error) {
	if errors.Is(err, ErrUnavailable) {
		return c.outage(id, err, now)
	}
	c.failures.remove(id)
	entry, cached := c.keys.get(id)
	switch {
	case err != nil && cached:
		c.drop(id, entry)
		return nil, "dropped a cached data key that can no longer be unwrapped", err
	case err != nil:
		return nil, "", err
	case cached:
		// The record commits to its key, so both copies are the same key. The
		// old copy stays because it holds prepared groups.
		key.release()
		c.confirm(entry, now)
		return entry.key, "", nil
	}
	entry = &cachedKey{key: key}
	c.confirm(entry, now)
	if old, evicted := c.keys.add(id, entry); evicted {
		old.key.release()
	}
	return key, "", nil
}

// outage remembers that no KEK was available, and returns the cached key if it
// may still be used.
func (c *cache) outage(id [32]byte, err error, now time.Time) (_ *sharedKey, warning string, _ error) {
	last, ok := c.failures.get(id)
	switch {
	case !ok:
		c.failures.add(id, &failure{err, minBackoff, now.Add(minBackoff)})
	case now.Sub(last.until) > maxBackoff: // another outage, much later
		*last = failure{err, minBackoff, now.Add(minBackoff)}
	default:
		wait := min(2*last.wait, maxBackoff)
		*last = failure{err, wait, now.Add(wait)}
	}
	entry, cached := c.keys.get(id)
	if !cached || now.Sub(entry.fetched) >= c.hardAge {
		return nil, "", err
	}
	return entry.key, "key service unavailable; a cached data key stays in use", nil
}

// confirm resets the age of an entry.
func (c *cache) confirm(entry *cachedKey, now time.Time) {
	entry.fetched = now
	entry.soft = time.Duration(float64(c.softAge) * (0.9 + 0.2*rand.Float64()))
}

// sweep drops the keys past their hard age. It visits all keys, and therefore runs
// at most once per sweepInterval.
func (c *cache) sweep(now time.Time) {
	if now.Sub(c.swept) < sweepInterval {
		return
	}
	c.swept = now
	for id, entry := range c.keys.all() {
		if now.Sub(entry.fetched) >= c.hardAge {
			c.drop(id, entry)
		}
	}
}

func (c *cache) drop(id [32]byte, entry *cachedKey) {
	c.keys.remove(id)
	entry.key.release()
}
