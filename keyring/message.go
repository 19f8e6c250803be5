package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	// Overhead is the length of a message minus that of its plaintext, in bytes.
	Overhead = headerSize + nonceSize + tagSize
	// MaxPlaintext is the maximum length of the plaintext of a message in bytes: 1 MiB.
	MaxPlaintext = 1 << 20

	headerSize = 54 // magic, suite, key id, commitment
	nonceSize  = 12
	tagSize    = 16

	messageKeyInfo = "skm/v1 message key\x00"
)

var messageMagic = [6]byte{'S', 'K', 'M', 1, 0, 1}

// errOpen is the only error for failed authentication. It does not reveal which
// part differs.
var errOpen = fmt.Errorf("opening message: %w", ErrTampered)

// A Group seals and opens messages under one key, derived from a data key and the
// context of the group (docs/format.md, "Message: SKM"). In a vault, the secrets of
// one scope form a group. The caller must not seal more than 2^32 messages in a group,
// because nonces are random; Group does not count them.
//
// A Group is safe for concurrent use. After its [DataKey] is destroyed, its methods
// return [ErrKeyState].
type Group struct {
	handle *DataKey // nil for NewGroup
	key    *groupKey
}

// NewGroup returns the group of context c under the caller's 32-byte key.
// Every message contains id in plaintext. NewGroup is for a [KEK] that holds its key
// in memory, such as that of package local; other programs use [DataKey.Group]. It
// keeps no reference to key. The error wraps [ErrMalformed].
func NewGroup(key []byte, id [16]byte, c Context) (*Group, error) {
	if len(key) != dataKeySize {
		return nil, fmt.Errorf("message key: %w: %d bytes, want %d", ErrMalformed, len(key), dataKeySize)
	}
	encoded, err := c.Encode()
	if err != nil {
		return nil, err
	}
	derived, err := newGroupKey(key, id, encoded)
	if err != nil {
		return nil, err
	}
	return &Group{key: derived}, nil
}

// Seal encrypts plaintext of at most [MaxPlaintext] bytes, appends the message to
// dst and returns the extended slice. The message opens only in this group and
// under the message context c. It is [Overhead] bytes longer than plaintext.
//
// Seal allocates only if the capacity of dst is too small, if c has more than eight
// pairs, and for the first message of the group. The plaintext may be in the spare
// capacity of dst; Seal then works on a copy. On error, the result is nil; the error
// wraps [ErrMalformed], or [ErrKeyState] after Destroy.
func (g *Group) Seal(dst, plaintext []byte, c Context) ([]byte, error) {
	if err := g.alive(); err != nil {
		return nil, fmt.Errorf("sealing message: %w", err)
	}
	if len(plaintext) > MaxPlaintext {
		return nil, fmt.Errorf("sealing message: %w: %d bytes of plaintext; at most %d are allowed",
			ErrMalformed, len(plaintext), MaxPlaintext)
	}
	scratch := aadPool.Get().(*aadBuffer)
	defer aadPool.Put(scratch)
	aad, err := g.key.aad(scratch, c)
	if err != nil {
		return nil, fmt.Errorf("sealing message: %w", err)
	}
	if overlaps(spare(dst, len(plaintext)+Overhead), plaintext) {
		plaintext = bytes.Clone(plaintext)
		defer clear(plaintext)
	}
	dst = slices.Grow(dst, len(plaintext)+Overhead)
	dst = append(dst, g.key.header[:]...)
	return g.key.seal(dst, nil, plaintext, aad), nil
}

// Open decrypts a message that was sealed in this group under the same message
// context, appends the plaintext to dst and returns the extended slice.
//
// Open allocates only if the capacity of dst is too small, if c has more than eight
// pairs, and for the first message of the group. The message may be in the spare
// capacity of dst; Open then works on a copy. On error, the result is nil, and
// no plaintext remains in the spare capacity of dst.
//
// The error wraps [ErrMalformed] for an invalid message or context, [ErrNoKey] for a
// message under another data key, [ErrKeyState] after Destroy, and [ErrTampered]
// otherwise.
func (g *Group) Open(dst, message []byte, c Context) ([]byte, error) {
	if err := g.alive(); err != nil {
		return nil, fmt.Errorf("opening message: %w", err)
	}
	header := &g.key.header
	if len(message) < Overhead || len(message) > Overhead+MaxPlaintext || !bytes.Equal(message[:22], header[:22]) {
		return nil, fmt.Errorf("opening message: %w", foreign(message))
	}
	if subtle.ConstantTimeCompare(message[22:headerSize], header[22:]) != 1 {
		return nil, errOpen
	}
	scratch := aadPool.Get().(*aadBuffer)
	defer aadPool.Put(scratch)
	aad, err := g.key.aad(scratch, c)
	if err != nil {
		return nil, fmt.Errorf("opening message: %w", err)
	}
	if overlaps(spare(dst, len(message)-Overhead), message) {
		message = bytes.Clone(message)
	}
	plaintext, err := g.key.open(dst, nil, message[headerSize:], aad)
	if err != nil {
		return nil, errOpen
	}
	return plaintext, nil
}

// MessageKeyID returns the ID of the data key that a message was sealed under. It
// does not authenticate the message. The error wraps [ErrMalformed].
func MessageKeyID(message []byte) ([16]byte, error) {
	switch {
	case len(message) < Overhead:
		return [16]byte{}, fmt.Errorf("%w: too short for a message", ErrMalformed)
	case len(message) > Overhead+MaxPlaintext:
		return [16]byte{}, fmt.Errorf("%w: too long for a message", ErrMalformed)
	case [6]byte(message) != messageMagic:
		return [16]byte{}, fmt.Errorf("%w: bad magic", ErrMalformed)
	}
	return [16]byte(message[6:22]), nil
}

// foreign returns the error for a message that cannot belong to a group. It uses only
// public parts of the message.
func foreign(message []byte) error {
	id, err := MessageKeyID(message)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: sealed under data key %x", ErrNoKey, id)
}

// alive returns an error if the handle of the group was destroyed.
func (g *Group) alive() error {
	if g.handle != nil && g.handle.destroyed.Load() {
		return errDestroyed
	}
	return nil
}

// groupKey is a derived key, prepared once for all its messages.
type groupKey struct {
	header [headerSize]byte // the start of every message of the group
	// Functions rather than the cipher, because printing a struct by reflection
	// would follow a pointer to the key schedule.
	seal func(dst, nonce, plaintext, aad []byte) []byte
	open func(dst, nonce, ciphertext, aad []byte) ([]byte, error)
	// The shape of the first message context that is not empty. The contexts of a
	// group's messages usually share one shape, and those that do are encoded faster.
	shape atomic.Pointer[shape]
}

// newGroupKey derives the key of a group from its encoded context.
func newGroupKey(key []byte, id [16]byte, encoded []byte) (*groupKey, error) {
	digest := sha256.Sum256(encoded)
	okm, err := hkdf.Expand(sha256.New, key, messageKeyInfo+string(digest[:]), 64)
	if err != nil {
		return nil, fmt.Errorf("deriving message key: %w", err)
	}
	defer clear(okm)
	block, err := aes.NewCipher(okm[:32])
	if err != nil {
		return nil, fmt.Errorf("preparing message key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("preparing message key: %w", err)
	}
	g := &groupKey{seal: aead.Seal, open: aead.Open}
	copy(g.header[:], messageMagic[:])
	copy(g.header[6:], id[:])
	copy(g.header[22:], okm[32:])
	return g, nil
}

// aad returns the header and the encoded message context, in the buffer.
func (g *groupKey) aad(buffer *aadBuffer, c Context) ([]byte, error) {
	header := append(buffer[:0], g.header[:]...)
	s := g.shape.Load()
	if s != nil {
		if aad, ok := s.appendTo(header, c); ok {
			return aad, nil
		}
	}
	aad, err := c.AppendTo(header)
	if err == nil && s == nil && len(c) > 0 {
		g.shape.Store(newShape(c))
	}
	return aad, err
}

// An aadBuffer has room for the associated data of any message. Buffers are
// pooled because one on the stack would escape into the cipher.
type aadBuffer [headerSize + maxContextSize]byte

var aadPool = sync.Pool{New: func() any { return new(aadBuffer) }}

// spare returns the n bytes after dst that append would write to. It returns nil if
// append would reallocate.
func spare(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		return nil
	}
	return dst[len(dst) : len(dst)+n]
}

// overlaps reports whether two slices share memory. The cipher panics on slices that
// partially overlap.
func overlaps(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	firstA, lastA := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&a[len(a)-1]))
	firstB, lastB := uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&b[len(b)-1]))
	return firstA <= lastB && firstB <= lastA
}
