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
	// Overhead is how many bytes a message is longer than its plaintext.
	Overhead = headerSize + nonceSize + tagSize
	// MaxPlaintext is the length of the longest plaintext in bytes, 1 MiB.
	MaxPlaintext = 1 << 20

	headerSize = 54 // magic, suite, key id, commitment
	nonceSize  = 12
	tagSize    = 16

	messageKeyInfo = "skm/v1 message key\x00"
)

var messageMagic = [6]byte{'S', 'K', 'M', 1, 0, 1}

// errOpen is the one error for all that cannot be authenticated: it does not
// tell which part differed.
var errOpen = fmt.Errorf("opening message: %w", ErrTampered)

// A Group seals and opens messages under one key, derived from a data key and
// the group's context; in a vault, the secrets of one scope are a group. A
// group takes at most 2^32 messages, since nonces are random.
//
// A Group is safe for concurrent use. Once the handle it came from is
// destroyed, it answers [ErrKeyState].
type Group struct {
	handle *DataKey // nil for NewGroup
	key    *groupKey
}

// NewGroup returns the group of context c under a key of 32 bytes that the
// caller holds, whose id is written into every message. It is for a [KEK] that
// has its key in memory, such as package local's; anything else takes groups
// from a [DataKey]. It keeps no reference to key.
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

// Seal encrypts plaintext, at most [MaxPlaintext] bytes, appends the message to
// dst and returns the extended slice. The message opens only in this group and
// under the message context c, and is [Overhead] bytes longer than plaintext.
//
// It allocates only when dst has too little capacity or c more than eight pairs,
// and for the group's first message. Plaintext may lie in the spare capacity of
// dst; Seal then works on a copy of it. On an error it returns nil.
func (g *Group) Seal(dst, plaintext []byte, c Context) ([]byte, error) {
	if err := g.alive(); err != nil {
		return nil, fmt.Errorf("sealing message: %w", err)
	}
	if len(plaintext) > MaxPlaintext {
		return nil, fmt.Errorf("sealing message: %w: %d bytes of plaintext, the limit is %d",
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

// Open decrypts a message of this group that was sealed under the same message
// context, appends the plaintext to dst and returns the extended slice.
//
// It allocates only when dst has too little capacity or c more than eight pairs,
// and for the group's first message. The message may lie in the spare capacity
// of dst; Open then works on a copy of it. On an error it returns nil, and what
// it wrote to the spare capacity of dst is zero.
//
// The errors are [ErrMalformed] for what is not a message or a context,
// [ErrNoKey] for a message under another data key, [ErrKeyState] after Destroy,
// and [ErrTampered] for everything else.
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

// MessageKeyID returns the id of the data key that a message was sealed under,
// or [ErrMalformed] for what is not a message.
func MessageKeyID(message []byte) ([16]byte, error) {
	switch {
	case len(message) < Overhead:
		return [16]byte{}, fmt.Errorf("%w: it is too short for a message", ErrMalformed)
	case len(message) > Overhead+MaxPlaintext:
		return [16]byte{}, fmt.Errorf("%w: it is too long for a message", ErrMalformed)
	case [6]byte(message) != messageMagic:
		return [16]byte{}, fmt.Errorf("%w: it does not begin as a message", ErrMalformed)
	}
	return [16]byte(message[6:22]), nil
}

// foreign says why a message is none of a group, by what is no secret in it.
func foreign(message []byte) error {
	id, err := MessageKeyID(message)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: it was sealed under data key %x", ErrNoKey, id)
}

// alive refuses a group whose handle was destroyed.
func (g *Group) alive() error {
	if g.handle != nil && g.handle.destroyed.Load() {
		return errDestroyed
	}
	return nil
}

// groupKey is a derived key, prepared once for all its messages.
type groupKey struct {
	header [headerSize]byte // what every message of the group begins with
	// Functions rather than the cipher itself: whatever prints a struct by
	// reflection would follow a pointer to the key schedule.
	seal func(dst, nonce, plaintext, aad []byte) []byte
	open func(dst, nonce, ciphertext, aad []byte) ([]byte, error)
	// The keys of the first message context that had any. All messages of a
	// group usually have the same, and these are encoded faster.
	shape atomic.Pointer[shape]
}

// newGroupKey derives the key of the group of an encoded context.
func newGroupKey(key []byte, id [16]byte, encoded []byte) (*groupKey, error) {
	digest := sha256.Sum256(encoded)
	okm, err := hkdf.Expand(sha256.New, key, messageKeyInfo+string(digest[:]), 64)
	if err != nil {
		return nil, fmt.Errorf("deriving a message key: %w", err)
	}
	defer clear(okm)
	block, err := aes.NewCipher(okm[:32])
	if err != nil {
		return nil, fmt.Errorf("preparing a message key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("preparing a message key: %w", err)
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

// spare returns the n bytes behind dst that appending would write to, or
// nothing if appending would move it.
func spare(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		return nil
	}
	return dst[len(dst) : len(dst)+n]
}

// overlaps tells whether two slices share memory. The cipher panics on slices
// that overlap by halves.
func overlaps(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	firstA, lastA := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&a[len(a)-1]))
	firstB, lastB := uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&b[len(b)-1]))
	return firstA <= lastB && firstB <= lastA
}
