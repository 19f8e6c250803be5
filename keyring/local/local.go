package local

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/satchelhq/satchel/keyring"
)

const (
	// KeySize is the length of a key in bytes.
	KeySize = 32
	// MinSaltSize is the minimum length of the salt of a passphrase in bytes.
	MinSaltSize = 16

	service   = "local"
	keyIDInfo = "skm/v1 local kek id\x00"
)

// The cost of deriving a key from a passphrase. It must not change, because other
// parameters give another key.
const (
	argonTime    = 3
	argonMemory  = 64 * 1024 // KiB
	argonThreads = 4
)

// A KEK is a key-encryption key in memory. It implements [keyring.KEK], makes
// no calls, and is safe for concurrent use.
type KEK struct {
	id    keyring.KEKID
	keyID [16]byte
	// A function rather than the key, because printing a struct by reflection would
	// show the bytes.
	key func() []byte
}

// New returns a KEK with a key of [KeySize] random bytes, which it copies. The ID of the
// KEK is {"local", id}. Records contain it, so id must stay the same as long as the key.
// id has 1 to 1,024 bytes.
func New(id string, key []byte) (*KEK, error) {
	if id == "" || len(id) > 1024 {
		return nil, fmt.Errorf("local key: the ID has %d bytes, want 1 to 1024", len(id))
	}
	k, err := newKEK(key)
	if err != nil {
		return nil, err
	}
	k.id.Key = id
	return k, nil
}

// FromPassphrase returns a KEK whose key is derived from a passphrase with Argon2id (RFC
// 9106): three passes, 64 MiB, four lanes, which takes a fraction of a second. The salt
// is random, not secret, and has at least [MinSaltSize] bytes. Keep it: the same
// passphrase with another salt gives another key. The ID of the KEK is derived from the
// key. The passphrase must not be empty.
//
// Argon2id is not a FIPS 140 algorithm. Go's strict mode does not prevent its use,
// because its implementation is outside the standard library. If only approved
// algorithms are allowed, use a key file or a key service.
func FromPassphrase(passphrase, salt []byte) (*KEK, error) {
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("local key: the passphrase is empty")
	}
	if len(salt) < MinSaltSize {
		return nil, fmt.Errorf("local key: the salt has %d bytes, want %d or more", len(salt), MinSaltSize)
	}
	key := argon2.IDKey(passphrase, salt, argonTime, argonMemory, argonThreads, KeySize)
	defer clear(key)
	return newKEK(key)
}

// newKEK returns a KEK whose ID is derived from its key, in hex.
func newKEK(key []byte) (*KEK, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("local key: %d bytes, want %d", len(key), KeySize)
	}
	id, err := hkdf.Expand(sha256.New, key, keyIDInfo, 16)
	if err != nil {
		return nil, fmt.Errorf("local key: deriving the ID: %w", err)
	}
	copied := append([]byte(nil), key...)
	return &KEK{
		id:    keyring.KEKID{Service: service, Key: hex.EncodeToString(id)},
		keyID: [16]byte(id),
		key:   func() []byte { return copied },
	}, nil
}

// ID returns {"local", id}.
func (k *KEK) ID() keyring.KEKID { return k.id }

// Wrap seals dek as a message under the KEK, in the group of the context. The Version of
// the result is the derived ID of the key in hex. The error is that of ctx or wraps
// [keyring.ErrMalformed].
func (k *KEK) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	if err := ctx.Err(); err != nil {
		return keyring.WrappedKey{}, err
	}
	group, err := keyring.NewGroup(k.key(), k.keyID, c)
	if err != nil {
		return keyring.WrappedKey{}, err
	}
	blob, err := group.Seal(nil, dek, nil)
	if err != nil {
		return keyring.WrappedKey{}, err
	}
	return keyring.WrappedKey{KEK: k.id, Version: hex.EncodeToString(k.keyID[:]), Blob: blob}, nil
}

// Unwrap opens a result of Wrap under the same context. The error is that of ctx, or
// wraps [keyring.ErrNoKey] for another key, [keyring.ErrTampered] for another context,
// and [keyring.ErrMalformed] for an invalid wrapped key.
func (k *KEK) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w.KEK != k.id {
		return nil, fmt.Errorf("%w: the data key was wrapped under %q", keyring.ErrNoKey, w.KEK)
	}
	group, err := keyring.NewGroup(k.key(), k.keyID, c)
	if err != nil {
		return nil, err
	}
	return group.Open(nil, w.Blob, nil)
}
