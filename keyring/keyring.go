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
	// callLimit bounds one call of a key service, and one flight of them.
	callLimit = 5 * time.Second
	// maxCalls bounds the calls that a keyring has in flight.
	maxCalls = 20
	// maxAge bounds HardAge: its multiples fit a time.Duration.
	maxAge = 365 * 24 * time.Hour
)

// Options are the optional settings of a [Keyring].
type Options struct {
	// Replicas wrap every new data key too, and each of them alone can open it:
	// keys in another region or another cloud. All must be reachable to make a
	// key, one to open it. At most seven. Default: none.
	Replicas []KEK
	// Retired keys open the records that were wrapped under them and wrap
	// nothing more. A primary that was replaced stays here until every record
	// has been through [Keyring.Rewrap]. Default: none.
	Retired []KEK

	// CacheEntries bounds the data keys kept in memory; the least recently used
	// gives way. Default: 1,024.
	CacheEntries int
	// SoftAge is the age at which a cached data key is unwrapped again before it
	// is used, spread by 10 % either way. One in use is renewed in the background
	// from 80 % of it. Default: fifteen minutes.
	SoftAge time.Duration
	// HardAge is the age up to which a cached data key is still used while the
	// key service is unavailable. At least SoftAge, at most a year. Default: one
	// hour.
	HardAge time.Duration

	// Logger receives a warning when a cached key outlives its soft age or is
	// dropped because the key service refuses it. It sees ids, never keys.
	// Default: nothing is logged.
	Logger *slog.Logger
}

// A Keyring makes, opens and re-wraps data keys with one or more KEKs, and
// caches those it opened. It is safe for concurrent use and needs no closing.
type Keyring struct {
	current []namedKEK // the primary, then the replicas
	all     []namedKEK // current, then the retired
	cache   *cache
	checks  shared.Flight[error]
	slots   chan struct{} // one for each call in flight

	versionsMu sync.Mutex
	versions   map[KEKID]string // the newest seen from Wrap
}

// namedKEK is a KEK with its ID, asked for once.
type namedKEK struct {
	KEK
	id KEKID
}

// New returns a keyring that wraps new data keys under primary. It makes no
// call; [Keyring.Check] does. It refuses a nil KEK, an ID outside its limits,
// two KEKs with one ID, and options outside their limits.
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
		return nil, fmt.Errorf("keyring options: %d replicas, the limit is %d", len(o.Replicas), maxWraps-1)
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

// nameOf returns the name of the i-th of the primary, the replicas and the retired.
func (o *Options) nameOf(i int) string {
	switch {
	case i == 0:
		return "the primary KEK"
	case i <= len(o.Replicas):
		return fmt.Sprintf("Options.Replicas[%d]", i-1)
	}
	return fmt.Sprintf("Options.Retired[%d]", i-1-len(o.Replicas))
}

// KEKs returns the ids of the keys that k can open records with: the primary
// first, then the replicas, then the retired. It makes no call.
func (k *Keyring) KEKs() []KEKID {
	ids := make([]KEKID, len(k.all))
	for i, kek := range k.all {
		ids[i] = kek.id
	}
	return ids
}

// NewKey makes a data key and returns a handle on it, to be released with
// [DataKey.Destroy], and its record, to be stored. The key is wrapped under the
// primary and each replica, one call to each of at most five seconds; if one
// fails there is no key. The context goes to the key services, which may log
// it. The new key is not cached: the first OpenKey proves that the record opens.
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

// OpenKey returns a handle on the data key of a record, to be released with
// [DataKey.Destroy]. The context is the one the key was made with.
//
// A key that is cached costs no call, and any other one call while all is well.
// The KEKs that the record and the keyring share are tried in configured order,
// passing over those that fail with anything but [ErrTampered] or
// [ErrMalformed]. If every KEK fails, the error is [ErrUnavailable] if one of
// them was, and else the first KEK's; if they share none, it is [ErrNoKey].
// ErrUnavailable is remembered for a second, doubling to thirty, and given
// without a call in the meantime. [ErrTampered] also stands for a record that
// was changed, and for another context.
//
// Concurrent calls for one record share the work. It ends within five seconds of
// the moment at which fewer than twenty calls are in flight, and outlives ctx;
// when ctx ends first, the error wraps its own.
func (k *Keyring) OpenKey(ctx context.Context, rec Record, c Context) (*DataKey, error) {
	key, err := k.openShared(ctx, rec, c)
	if err != nil {
		return nil, err
	}
	return &DataKey{key: key}, nil
}

// Rewrap returns a record of the same data key, id and time of creation,
// wrapped anew under the primary and the replicas only. What was sealed under
// the key stays as it is. It opens the old record first, from the cache if it
// is there.
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

// Stale tells whether [Keyring.Rewrap] would improve a record, and why: it is
// not wrapped under the primary or a replica, it is wrapped under another KEK,
// or the KEK has a newer version, as far as this keyring has seen from NewKey,
// Rewrap or Check. It makes no call. What is not a record is stale, so that
// Rewrap says what is wrong with it.
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
			return fmt.Sprintf("wrapped under version %q of %q, the newest is %q", w.Version, kek.id, newest), true
		}
	}
	if len(p.wraps) > len(k.current) {
		return "wrapped under more keys than the primary and its replicas", true
	}
	return "", false
}

// wrap completes p with a wrap of dek under each current KEK, and returns it as
// a record.
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

// wrapOne calls one KEK, and refuses an answer that a record could not hold.
func (k *Keyring) wrapOne(ctx context.Context, kek namedKEK, dek []byte, c Context) (WrappedKey, error) {
	// Each KEK gets a copy: all wraps of a record hold the same key, even if
	// one of them were to write to it.
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

// sawVersion notes a version that wrapped a key. A service may go on wrapping
// under an older one for a while after a rotation, so the lower of two numbers
// changes nothing; of words that are no numbers the latest counts.
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

// unwrap returns the data key of a record, from the first KEK that opens it.
// The caller holds a slot. The KEKs share the time until deadline, so that one
// that hangs leaves some for the next.
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
		return nil, fmt.Errorf("opening key record: %w: it is wrapped under %s, and none of these is configured",
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

// unwrapOne calls one KEK. The result is the caller's to clear.
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

// callWithin runs one call of a key service, which counts as unavailable if it has
// not answered within limit, or within one that the KEK set itself.
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
		return fmt.Errorf("%w: no answer within %s", ErrUnavailable, limit.Round(10*time.Millisecond))
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: the call was given up: %v", ErrUnavailable, err)
	}
	return err
}

// acquire takes a slot for a call, waiting for one as long as ctx lasts.
func (k *Keyring) acquire(ctx context.Context) error {
	select {
	case k.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Keyring) release() { <-k.slots }

// verify returns dek as a shared key, if the MAC of the record commits to it.
// It clears what it refuses.
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

// names lists the KEKs of a record for an error.
func (p *parsedRecord) names() string {
	names := make([]string, len(p.wraps))
	for i, w := range p.wraps {
		names[i] = fmt.Sprintf("%.200q", w.KEK)
	}
	return strings.Join(names, ", ")
}
