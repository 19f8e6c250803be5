package keyring

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	dataKeySize = 32
	// maxGroups bounds the prepared groups of one data key, each about a
	// kilobyte. A group beyond it is derived anew when it is asked for again.
	maxGroups     = 64
	maxLabelBytes = 64
)

var errDestroyed = fmt.Errorf("data key: %w: the handle was destroyed", ErrKeyState)

// A DataKey is a handle on an unwrapped data key. It gives out no key bytes; it
// seals and opens messages through its groups, and computes MACs.
//
// Each handle is released by one call of [DataKey.Destroy], by whoever got it
// from the keyring. Until then it works, whatever becomes of the KEK: take one
// for a piece of work rather than for the life of the program, so that a KEK
// that is disabled ends what is read under it. A DataKey is safe for concurrent
// use.
type DataKey struct {
	key       *sharedKey
	destroyed atomic.Bool
}

// ID returns the key's random id, which is no secret. It stays valid after
// Destroy.
func (d *DataKey) ID() [16]byte { return d.key.id }

// Group returns the messages under the key derived for context c. Asking again
// for the same context is cheap: the derived key is kept with the data key. The
// errors are [ErrMalformed] for a context outside its limits and [ErrKeyState]
// after Destroy.
func (d *DataKey) Group(c Context) (*Group, error) {
	var array [256]byte // most contexts fit
	encoded, err := c.AppendTo(array[:0])
	if err != nil {
		return nil, err
	}
	derived, err := d.key.group(d, encoded)
	if err != nil {
		return nil, err
	}
	return &Group{handle: d, key: derived}, nil
}

// MAC returns HMAC-SHA256 of data, joined without separators, under a key
// derived from the data key for this label. The caller makes the joined data
// unambiguous. A label is 1 to 64 bytes of printable ASCII; those that begin
// with "skm/" or "skr/" belong to the format and are refused. The errors are
// [ErrMalformed] for such a label and [ErrKeyState] after Destroy.
func (d *DataKey) MAC(label string, data ...[]byte) ([32]byte, error) {
	if err := checkLabel(label); err != nil {
		return [32]byte{}, err
	}
	dek, err := d.copyBytes()
	if err != nil {
		return [32]byte{}, err
	}
	defer clear(dek)
	return macUnder(dek, label+"\x00", data...)
}

// Clone returns another handle on the key, for work that goes on after this one
// is destroyed. It asks no key service. The caller destroys both. The error is
// [ErrKeyState] after Destroy.
func (d *DataKey) Clone() (*DataKey, error) {
	if d.destroyed.Load() || !d.key.retainLive() {
		return nil, errDestroyed
	}
	return &DataKey{key: d.key}, nil
}

// Destroy releases the handle. The key's bytes are cleared when its last handle
// is released and the keyring's cache has dropped it; keys derived from it are
// left to the garbage collector. A second call does nothing.
func (d *DataKey) Destroy() {
	if d.destroyed.CompareAndSwap(false, true) {
		d.key.release()
	}
}

func checkLabel(label string) error {
	if label == "" || len(label) > maxLabelBytes {
		return fmt.Errorf("MAC label: %w: %d bytes, want 1 to %d", ErrMalformed, len(label), maxLabelBytes)
	}
	for _, b := range []byte(label) {
		if b < ' ' || b > '~' {
			return fmt.Errorf("MAC label %q: %w: not printable ASCII", label, ErrMalformed)
		}
	}
	if strings.HasPrefix(label, "skm/") || strings.HasPrefix(label, "skr/") {
		return fmt.Errorf("MAC label %q: %w: labels that begin so belong to the format", label, ErrMalformed)
	}
	return nil
}

// sharedKey is what the handles on one data key, and the cache, hold together.
type sharedKey struct {
	id [16]byte

	refs atomic.Int64 // handles, and one for the cache

	mu sync.RWMutex // held for copying and deriving only
	// A function rather than the bytes: whatever prints a struct by reflection
	// would show those. Nil once cleared.
	bytes  func() []byte
	groups map[string]*groupKey // by encoded context
}

// newSharedKey takes over dek, and returns it with one reference, which is the
// caller's.
func newSharedKey(id [16]byte, dek []byte) *sharedKey {
	k := &sharedKey{id: id, bytes: func() []byte { return dek }, groups: make(map[string]*groupKey)}
	k.refs.Store(1)
	return k
}

// retain adds n references. The caller holds one already.
func (k *sharedKey) retain(n int) { k.refs.Add(int64(n)) }

// retainLive adds a reference unless the last one was dropped already.
func (k *sharedKey) retainLive() bool {
	for {
		n := k.refs.Load()
		if n == 0 {
			return false
		}
		if k.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release drops one reference, and clears the key with the last.
func (k *sharedKey) release() {
	if k.refs.Add(-1) > 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.bytes())
	k.bytes = nil
	k.groups = nil
}

// group returns the derived key of the group of an encoded context, for a handle
// that is not destroyed.
func (k *sharedKey) group(d *DataKey, encoded []byte) (*groupKey, error) {
	k.mu.RLock()
	derived, ok := k.groups[string(encoded)]
	destroyed := d.destroyed.Load()
	k.mu.RUnlock()
	if destroyed {
		return nil, errDestroyed
	}
	if ok {
		return derived, nil
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	if d.destroyed.Load() {
		return nil, errDestroyed
	}
	if derived, ok = k.groups[string(encoded)]; ok {
		return derived, nil
	}
	derived, err := newGroupKey(k.bytes(), k.id, encoded)
	if err != nil {
		return nil, err
	}
	if len(k.groups) >= maxGroups {
		for other := range k.groups {
			delete(k.groups, other)
			break
		}
	}
	k.groups[string(encoded)] = derived
	return derived, nil
}

// copyBytes returns the key's bytes for a handle that is not destroyed. The
// caller clears them.
func (d *DataKey) copyBytes() ([]byte, error) {
	d.key.mu.RLock()
	defer d.key.mu.RUnlock()
	if d.destroyed.Load() {
		return nil, errDestroyed
	}
	return append([]byte(nil), d.key.bytes()...), nil
}
