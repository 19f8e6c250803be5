package keyring

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	dataKeySize = 32
	// maxGroups limits the prepared groups of one data key, each about a kilobyte.
	// An evicted group is derived again on its next use.
	maxGroups     = 64
	maxLabelBytes = 64
)

var errDestroyed = fmt.Errorf("data key: %w: the handle was destroyed", ErrKeyState)

// A DataKey is a handle to an unwrapped data key. It seals and opens messages
// through its groups and computes MACs. It never exposes the key bytes.
//
// The caller releases a handle with [DataKey.Destroy]. Until then the handle works,
// even if the KEK is disabled in the meantime. Open a handle for one task, not for the
// lifetime of the program, so that disabling a KEK stops all decryption that depends on
// it. A DataKey is safe for concurrent use.
type DataKey struct {
	key       *sharedKey
	destroyed atomic.Bool
}

// ID returns the random ID of the key. The ID is not secret, and remains available
// after Destroy.
func (d *DataKey) ID() [16]byte { return d.key.id }

// Group returns the group of context c, which seals and opens messages under a key
// derived for c. A repeated call for the same context is cheap because the data
// key keeps up to 64 derived keys. The error is a [*ContextError] for a context
// outside its limits, and wraps [ErrKeyState] after Destroy.
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

// MAC returns HMAC-SHA256 of data, joined without separators, under a key derived
// from the data key for this label (docs/format.md, "Other MACs"). The caller must
// ensure that the joined data is unambiguous. A label has 1 to 64 bytes of printable
// ASCII; labels that begin with "skm/" or "skr/" are reserved for the format. The error
// wraps [ErrMalformed] for an invalid label and [ErrKeyState] after Destroy.
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

// Clone returns another handle to the key, for work that continues after this
// handle is destroyed. It does not call a key service. The caller destroys both
// handles. The error wraps [ErrKeyState] after Destroy.
func (d *DataKey) Clone() (*DataKey, error) {
	if d.destroyed.Load() || !d.key.retainLive() {
		return nil, errDestroyed
	}
	return &DataKey{key: d.key}, nil
}

// Destroy releases the handle. The key bytes are cleared after the last handle is
// released and the cache of the keyring has dropped the key. Derived keys are left
// to the garbage collector. A second call does nothing.
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
		return fmt.Errorf("MAC label %q: %w: the prefixes skm/ and skr/ are reserved", label, ErrMalformed)
	}
	return nil
}

// sharedKey is the state that all handles to one data key share with the cache.
type sharedKey struct {
	id [16]byte

	refs atomic.Int64 // handles, and one for the cache

	mu sync.RWMutex // held for copying and deriving only
	// A function rather than the bytes, because printing a struct by reflection
	// would show them. Nil once cleared.
	bytes  func() []byte
	groups map[string]*groupKey // by encoded context
}

// newSharedKey takes ownership of dek. The result has one reference, which belongs
// to the caller.
func newSharedKey(id [16]byte, dek []byte) *sharedKey {
	k := &sharedKey{id: id, bytes: func() []byte { return dek }, groups: make(map[string]*groupKey)}
	k.refs.Store(1)
	return k
}

// retain adds n references. The caller already holds one.
func (k *sharedKey) retain(n int) { k.refs.Add(int64(n)) }

// retainLive adds a reference unless the last one has been dropped.
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

// release drops one reference. Dropping the last one clears the key.
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

// group returns the derived key for an encoded context. It fails if the handle d
// is destroyed.
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

// copyBytes returns a copy of the key bytes, which the caller clears. It fails if
// the handle is destroyed.
func (d *DataKey) copyBytes() ([]byte, error) {
	d.key.mu.RLock()
	defer d.key.mu.RUnlock()
	if d.destroyed.Load() {
		return nil, errDestroyed
	}
	return append([]byte(nil), d.key.bytes()...), nil
}
