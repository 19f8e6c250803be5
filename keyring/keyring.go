package keyring

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/satchelhq/satchel/internal/shared"
)

const (
	// callLimit bounds one call to a key service, and all calls of one flight.
	callLimit = 5 * time.Second
	// maxCalls limits the concurrent calls of a keyring.
	maxCalls = 20
	// maxAge limits HardAge, so that the cache's arithmetic with ages cannot overflow.
	maxAge = 365 * 24 * time.Hour
)

// Options are the optional settings of a [Keyring].
type Options struct {
	// Replicas are additional KEKs that wrap every new data key, such as keys in
	// another region or another cloud. Making a data key needs the primary and all
	// replicas; opening one needs any one of them. At most seven. Default: none.
	Replicas []KEK
	// Retired keys open records that were wrapped under them but wrap no new data
	// keys. Keep a replaced primary here until [Keyring.Rewrap] has processed every
	// record. Default: none.
	Retired []KEK

	// CacheEntries limits the data keys in memory. The least recently used key is
	// evicted. Negative: an error. Default: 1,024.
	CacheEntries int
	// SoftAge is the age at which a cached data key is unwrapped again before its
	// next use, varied by ±10 % for each key. A key in use is renewed in the
	// background from 80 % of that age. Negative: an error. Default: 15 minutes.
	SoftAge time.Duration
	// HardAge is the age up to which a cached data key remains in use while the key
	// service is unavailable. At least SoftAge, at most 365 days. Default: one hour.
	HardAge time.Duration

	// Logger receives a warning when the key service is unavailable and a cached key
	// stays in use, and when a key is dropped because it can no longer be unwrapped.
	// Log entries contain IDs, never keys. Default: no logging.
	Logger *slog.Logger
}

// A Keyring makes, opens and re-wraps data keys with one or more KEKs, and caches
// the keys that it opens. It is safe for concurrent use and needs no Close.
type Keyring struct {
	current []namedKEK // the primary, then the replicas
	all     []namedKEK // current, then the retired
	cache   *cache
	checks  shared.Flight[error]
	slots   chan struct{} // one for each call in flight

	versionsMu sync.Mutex
	versions   map[KEKID]string // the newest that Wrap returned
}

// A namedKEK is a KEK with its ID, which New reads once.
type namedKEK struct {
	KEK
	id KEKID
}

// New returns a keyring that wraps new data keys under primary. If opts is nil, the
// defaults apply. New makes no call; use [Keyring.Check] to test the KEKs. It fails
// for a nil KEK, an ID outside the limits, two KEKs with the same ID, and options
// outside their limits.
func New(primary KEK, opts *Options) (*Keyring, error) {
	o := *cmp.Or(opts, &Options{})
	switch {
	case o.CacheEntries < 0:
		return nil, fmt.Errorf("keyring options: CacheEntries is %d; want a positive number, or zero for the default", o.CacheEntries)
	case o.SoftAge < 0:
		return nil, fmt.Errorf("keyring options: SoftAge is %s; want a positive duration, or zero for the default", o.SoftAge)
	case o.HardAge < 0:
		return nil, fmt.Errorf("keyring options: HardAge is %s; want a positive duration, or zero for the default", o.HardAge)
	}
	o.CacheEntries = cmp.Or(o.CacheEntries, 1024)
	o.SoftAge = cmp.Or(o.SoftAge, 15*time.Minute)
	o.HardAge = cmp.Or(o.HardAge, time.Hour)
	if o.HardAge < o.SoftAge {
		return nil, fmt.Errorf("keyring options: HardAge %s is less than SoftAge %s", o.HardAge, o.SoftAge)
	}
	if o.HardAge > maxAge {
		return nil, fmt.Errorf("keyring options: HardAge %s is more than a year (%s)", o.HardAge, maxAge)
	}
	if len(o.Replicas) > maxWraps-1 {
		return nil, fmt.Errorf("keyring options: %d replicas; at most %d are allowed", len(o.Replicas), maxWraps-1)
	}

	k := &Keyring{
		cache:    newCache(o),
		checks:   shared.Flight[error]{Stay: true, Hold: holds},
		slots:    make(chan struct{}, maxCalls),
		versions: make(map[KEKID]string),
	}
	seen := make(map[KEKID]bool)
	for i, kek := range append(append([]KEK{primary}, o.Replicas...), o.Retired...) {
		if v := reflect.ValueOf(kek); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			return nil, fmt.Errorf("keyring: %s is nil", o.nameOf(i))
		}
		id := kek.ID()
		if err := id.check(); err != nil {
			return nil, fmt.Errorf("keyring: KEK %.80q: %w", id, err)
		}
		if seen[id] {
			return nil, fmt.Errorf("keyring: KEK %q is configured twice", id)
		}
		seen[id] = true
		k.all = append(k.all, namedKEK{kek, id})
	}
	k.current = k.all[:1+len(o.Replicas)]
	return k, nil
}

// nameOf returns the name of element i of the list primary, replicas, retired.
func (o *Options) nameOf(i int) string {
	switch {
	case i == 0:
		return "the primary KEK"
	case i <= len(o.Replicas):
		return fmt.Sprintf("Options.Replicas[%d]", i-1)
	}
	return fmt.Sprintf("Options.Retired[%d]", i-1-len(o.Replicas))
}

// KEKs returns the IDs of all KEKs of k: the primary, then the replicas, then the
// retired keys. It makes no call. The slice belongs to the caller.
func (k *Keyring) KEKs() []KEKID {
	ids := make([]KEKID, len(k.all))
	for i, kek := range k.all {
		ids[i] = kek.id
	}
	return ids
}

// NewKey makes a random data key. It returns a handle, which the caller releases
// with [DataKey.Destroy], and the record to store. It wraps the key under the
// primary and each replica, with one call of at most five seconds to each, and
// fails if one of them fails. The context is sent to the key services, which may
// log it. NewKey does not cache the key, so the first OpenKey proves that the
// record opens. The error is a [*ContextError], wraps that of ctx, or names the KEK
// and wraps its class.
func (k *Keyring) NewKey(ctx context.Context, c Context) (*DataKey, Record, error) {
	dek := make([]byte, dataKeySize)
	rand.Read(dek)
	p := &parsedRecord{created: uint64(time.Now().Unix())}
	rand.Read(p.id[:])
	rec, err := k.wrap(ctx, p, dek, c)
	if err != nil {
		clear(dek)
		return nil, nil, err
	}
	return &DataKey{key: newSharedKey(p.id, dek)}, rec, nil
}

// OpenKey returns a handle to the data key of a record, which the caller releases
// with [DataKey.Destroy]. c must equal the context that the key was made with.
//
// Opening a cached key makes no call; otherwise OpenKey normally makes one. It
// tries the KEKs that the record and the keyring have in common in configured
// order, and stops at the first success, [ErrTampered] or [ErrMalformed]. If all of
// them fail, the error is the first that wraps [ErrUnavailable], or else that of the
// first KEK. Without a common KEK it wraps [ErrNoKey]. After ErrUnavailable, OpenKey
// returns the same error for this record, without a call, for one second; this time
// doubles with each failure, up to 30 seconds. The error for a changed record or
// another context wraps [ErrTampered]. An invalid record is rejected with
// ErrMalformed, and an invalid context with a [*ContextError], without a call.
//
// Concurrent calls for one record and context share the work. It starts when fewer
// than 20 calls of the keyring are in flight, ends within five seconds of that, and
// continues after ctx is done. If ctx is done first, the error wraps that of ctx.
func (k *Keyring) OpenKey(ctx context.Context, rec Record, c Context) (*DataKey, error) {
	key, err := k.openShared(ctx, rec, c)
	if err != nil {
		return nil, err
	}
	return &DataKey{key: key}, nil
}

// Rewrap returns a record with the same data key, ID and creation time, wrapped
// under the current primary and replicas only. Messages sealed under the key remain
// valid. Rewrap opens rec first, from the cache if possible, and does not change
// it. Errors are those of [Keyring.OpenKey] and [Keyring.NewKey].
func (k *Keyring) Rewrap(ctx context.Context, rec Record, c Context) (Record, error) {
	p, err := parseRecord(rec)
	if err != nil {
		return nil, err
	}
	key, err := k.OpenKey(ctx, rec, c)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	dek, err := key.copyBytes()
	if err != nil {
		return nil, err
	}
	defer clear(dek)
	return k.wrap(ctx, &parsedRecord{id: p.id, created: p.created}, dek, c)
}

// Stale reports whether [Keyring.Rewrap] would change the wraps of a record, and
// why: the record is not wrapped under the primary or a replica, it is wrapped
// under an additional KEK, or a KEK has a newer version. Stale makes no call; it
// knows versions from NewKey, Rewrap and Check of this keyring. An invalid record is
// stale, so that Rewrap reports its error.
func (k *Keyring) Stale(rec Record) (why string, stale bool) {
	p, err := parseRecord(rec)
	if err != nil {
		return err.Error(), true
	}
	for _, kek := range k.current {
		w, ok := p.wrapFor(kek.id)
		if !ok {
			return fmt.Sprintf("not wrapped under %q", kek.id), true
		}
		if newest := k.newestVersion(kek.id); newest != "" && newest != w.Version {
			return fmt.Sprintf("wrapped under version %q of %q; the newest is %q", w.Version, kek.id, newest), true
		}
	}
	if len(p.wraps) > len(k.current) {
		return "wrapped under more keys than the primary and its replicas", true
	}
	return "", false
}

// wrap adds a wrap of dek under each current KEK to p, and returns the record.
func (k *Keyring) wrap(ctx context.Context, p *parsedRecord, dek []byte, c Context) (Record, error) {
	encoded, err := c.Encode()
	if err != nil {
		return nil, err
	}
	for _, kek := range k.current {
		w, err := k.wrapOne(ctx, kek, dek, c)
		if err != nil {
			return nil, err
		}
		p.wraps = append(p.wraps, w)
	}
	return p.seal(dek, encoded)
}

// wrapOne calls one KEK. It rejects a result that does not fit into a record.
func (k *Keyring) wrapOne(ctx context.Context, kek namedKEK, dek []byte, c Context) (WrappedKey, error) {
	// Each KEK gets a copy, so that all wraps hold the same key even if a KEK
	// changes its argument.
	dek = bytes.Clone(dek)
	defer clear(dek)
	if err := k.acquire(ctx); err != nil {
		return WrappedKey{}, fmt.Errorf("wrapping data key with %q: %w", kek.id, err)
	}
	defer k.release()
	var w WrappedKey
	err := callWithin(ctx, callLimit, func(ctx context.Context) (err error) {
		w, err = kek.Wrap(ctx, dek, c)
		return err
	})
	if err != nil {
		return WrappedKey{}, fmt.Errorf("wrapping data key with %q: %w", kek.id, err)
	}
	if w.KEK != kek.id || len(w.Version) > maxVersionSize || len(w.Blob) < 1 || len(w.Blob) > maxBlobSize {
		return WrappedKey{}, fmt.Errorf("wrapping data key with %q: %w: the wrapped key names another KEK or is outside its limits",
			kek.id, ErrMalformed)
	}
	k.sawVersion(kek.id, w.Version)
	return w, nil
}

// sawVersion records the version of a wrap. A service may continue to use an older
// version for a while after a rotation, so a lower number is ignored. For versions
// that are not numbers, the latest one counts.
func (k *Keyring) sawVersion(id KEKID, version string) {
	if version == "" {
		return
	}
	k.versionsMu.Lock()
	defer k.versionsMu.Unlock()
	seen, err := strconv.ParseUint(k.versions[id], 10, 64)
	number, errNumber := strconv.ParseUint(version, 10, 64)
	if err == nil && errNumber == nil && number < seen {
		return
	}
	k.versions[id] = version
}

func (k *Keyring) newestVersion(id KEKID) string {
	k.versionsMu.Lock()
	defer k.versionsMu.Unlock()
	return k.versions[id]
}

// unwrap returns the data key of a record from the first KEK that opens it. The
// caller holds a slot. The KEKs share the time until deadline, so that a KEK that
// hangs leaves time for the next.
func (k *Keyring) unwrap(ctx context.Context, deadline time.Time, r request) (*sharedKey, error) {
	p, err := parseRecord(r.rec)
	if err != nil {
		return nil, err
	}
	able := slices.DeleteFunc(slices.Clone(k.all), func(kek namedKEK) bool {
		_, ok := p.wrapFor(kek.id)
		return !ok
	})
	if len(able) == 0 {
		return nil, fmt.Errorf("opening key record: %w: the record is wrapped under %s, none of which is configured",
			ErrNoKey, p.names())
	}

	var failure error
	for i, kek := range able {
		limit := time.Until(deadline) / time.Duration(len(able)-i)
		w, _ := p.wrapFor(kek.id)
		dek, err := unwrapOne(ctx, limit, kek, w, r.c)
		if err == nil {
			return p.verify(dek, r)
		}
		if errors.Is(err, ErrTampered) || errors.Is(err, ErrMalformed) {
			return nil, err
		}
		if failure == nil || errors.Is(err, ErrUnavailable) && !errors.Is(failure, ErrUnavailable) {
			failure = err
		}
	}
	return nil, failure
}

// unwrapOne calls one KEK. The caller clears the result.
func unwrapOne(ctx context.Context, limit time.Duration, kek namedKEK, w WrappedKey, c Context) ([]byte, error) {
	var dek []byte
	err := callWithin(ctx, limit, func(ctx context.Context) (err error) {
		dek, err = kek.Unwrap(ctx, w, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("unwrapping data key with %q: %w", kek.id, err)
	}
	return dek, nil
}

// callWithin runs one call to a key service. A call that exceeds limit, or a shorter
// limit set by the KEK, fails with ErrUnavailable.
func callWithin(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := call(bounded)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case bounded.Err() != nil:
		return fmt.Errorf("%w: no response within %s", ErrUnavailable, limit.Round(10*time.Millisecond))
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: the call was canceled: %v", ErrUnavailable, err)
	}
	return err
}

// acquire takes a slot for a call. It waits until ctx is done.
func (k *Keyring) acquire(ctx context.Context) error {
	select {
	case k.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Keyring) release() { <-k.slots }

// verify returns dek as a shared key if the MAC of the record commits to it.
// Otherwise it clears dek.
func (p *parsedRecord) verify(dek []byte, r request) (*sharedKey, error) {
	if len(dek) == dataKeySize {
		mac, err := recordMAC(dek, r.rec[:len(r.rec)-recordMACSize], r.encoded)
		if err == nil && subtle.ConstantTimeCompare(mac[:], p.mac[:]) == 1 {
			return newSharedKey(p.id, dek), nil
		}
	}
	clear(dek)
	return nil, fmt.Errorf("opening key record: %w", ErrTampered)
}

// names returns the KEKs of a record for an error message.
func (p *parsedRecord) names() string {
	names := make([]string, len(p.wraps))
	for i, w := range p.wraps {
		names[i] = fmt.Sprintf("%.200q", w.KEK)
	}
	return strings.Join(names, ", ")
}
