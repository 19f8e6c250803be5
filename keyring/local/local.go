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
	// MinSaltSize is the least length of a passphrase's salt in bytes.
	MinSaltSize = 16

	service   = "local"
	keyIDInfo = "skm/v1 local kek id\x00"
)

// The cost of a passphrase. It is part of what the key is: changing it would
// lock out everyone who used the old one.
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
	// A function rather than the key: whatever prints a struct by reflection
	// would show the bytes.
	key func() []byte
}

// New returns a KEK with a key of 32 random bytes, which it copies. Its ID is
// {"local", id}; records name it, so id stays the same for as long as the key
// does. It is 1 to 1,024 bytes.
func New(id string, key []byte) (*KEK, error) {
	if id == "" || len(id) > 1024 {
		return nil, fmt.Errorf("local key: the id has %d bytes, want 1 to 1024", len(id))
	}
	k, err := newKEK(key)
	if err != nil {
		return nil, err
	}
	k.id.Key = id
	return k, nil
}

// FromPassphrase returns a KEK whose key is derived from a passphrase with
// Argon2id (RFC 9106): three passes, 64 MiB, four lanes, which takes a fraction
// of a second. The salt is 16 bytes or more, random and not secret; keep it,
// since the same passphrase with another salt is another key. The KEK names
// itself after the key.
//
// Argon2id is no FIPS 140 algorithm. Go's strict mode does not stop it, because
// it is not part of the standard library; where only approved algorithms may be
// used, take a key file or a key service.
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

// newKEK returns a KEK that is named by the hex id of its key.
func newKEK(key []byte) (*KEK, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("local key: %d bytes, want %d", len(key), KeySize)
	}
	id, err := hkdf.Expand(sha256.New, key, keyIDInfo, 16)
	if err != nil {
		return nil, fmt.Errorf("local key: deriving its id: %w", err)
	}
	own := append([]byte(nil), key...)
	return &KEK{
		id:    keyring.KEKID{Service: service, Key: hex.EncodeToString(id)},
		keyID: [16]byte(id),
		key:   func() []byte { return own },
	}, nil
}

// ID returns {"local", id}.
func (k *KEK) ID() keyring.KEKID { return k.id }

// Wrap seals dek as a message under the KEK, in the group of the context. The
// version it reports is the hex id of the key itself.
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

// Unwrap opens what Wrap sealed under the same context. Another key is
// [keyring.ErrNoKey], another context [keyring.ErrTampered], and what is not a
// wrapped key at all [keyring.ErrMalformed].
func (k *KEK) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w.KEK != k.id {
		return nil, fmt.Errorf("%w: it was wrapped under %q", keyring.ErrNoKey, w.KEK)
	}
	group, err := keyring.NewGroup(k.key(), k.keyID, c)
	if err != nil {
		return nil, err
	}
	return group.Open(nil, w.Blob, nil)
}
