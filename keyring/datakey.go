package keyring

import (
	"crypto/sha256"
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
// from the keyring. A DataKey is safe for concurrent use.
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
	encoded, err := c.Encode()
	if err != nil {
		return nil, err
	}
	derived, err := d.key.group(d, sha256.Sum256(encoded))
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
	d.key.mu.RLock()
	defer d.key.mu.RUnlock()
	if d.destroyed.Load() {
		return [32]byte{}, errDestroyed
	}
	return macUnder(d.key.bytes(), label+"\x00", data...)
}

// Destroy releases the handle. The key's bytes are cleared when its last handle
// is released and the keyring's cache has dropped it. A second call does
// nothing.
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

	mu sync.RWMutex // held for computing only
	// A function rather than the bytes: whatever prints a struct by reflection
	// would show those. Nil once cleared.
	bytes  func() []byte
	refs   int // handles, and one for the cache
	groups map[[32]byte]*groupKey
}

// newSharedKey takes over dek, and returns it with one reference, which is the
// caller's.
func newSharedKey(id [16]byte, dek []byte) *sharedKey {
	return &sharedKey{id: id, bytes: func() []byte { return dek }, refs: 1, groups: make(map[[32]byte]*groupKey)}
}

// retain adds n references. The caller holds one already.
func (k *sharedKey) retain(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refs += n
}

// release drops one reference, and clears the key with the last.
func (k *sharedKey) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refs--
	if k.refs > 0 {
		return
	}
	clear(k.bytes())
	k.bytes = nil
	k.groups = nil
}

// group returns the derived key of a group for a handle that is not destroyed.
// digest is SHA-256 of the encoded context.
func (k *sharedKey) group(d *DataKey, digest [32]byte) (*groupKey, error) {
	k.mu.RLock()
	derived, ok := k.groups[digest]
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
	if derived, ok = k.groups[digest]; ok {
		return derived, nil
	}
	derived, err := newGroupKey(k.bytes(), k.id, digest)
	if err != nil {
		return nil, err
	}
	if len(k.groups) >= maxGroups {
		for other := range k.groups {
			delete(k.groups, other)
			break
		}
	}
	k.groups[digest] = derived
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
