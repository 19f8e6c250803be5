package keyring

import (
	"context"
	"fmt"
)

// Limits of a wrapped key.
const (
	maxServiceSize = 64
	maxKeySize     = 1024
	maxVersionSize = 1024
	maxBlobSize    = 4096
)

// A KEKID names a key-encryption key for as long as records exist that were
// wrapped under it. Service is 1 to 64 bytes, such as "awskms"; Key is 1 to
// 1,024 bytes, such as an ARN. It is not secret.
type KEKID struct{ Service, Key string }

// String returns "service:key".
func (id KEKID) String() string { return id.Service + ":" + id.Key }

// check refuses an id that no record could hold.
func (id KEKID) check() error {
	if id.Service == "" || len(id.Service) > maxServiceSize || id.Key == "" || len(id.Key) > maxKeySize {
		return fmt.Errorf("%w: the service of a KEK's ID has 1 to %d bytes and its key 1 to %d",
			ErrMalformed, maxServiceSize, maxKeySize)
	}
	return nil
}

// A WrappedKey is a data key encrypted under a KEK.
type WrappedKey struct {
	// KEK is the key it takes to unwrap it.
	KEK KEKID
	// Version tells which version of the KEK wrapped it, in the key service's
	// own words; at most 1,024 bytes, empty where the service does not say.
	Version string
	// Blob is the ciphertext, 1 to 4,096 bytes. Only the KEK reads it.
	Blob []byte
}

// A KEK is a key-encryption key. It stays in a key service, which wraps and
// unwraps data keys with it.
//
// ID is constant, and differs between keys. Wrap encrypts a data key of 32
// bytes, bound to the context; Unwrap returns it under the same context and
// under no other. The wrapped key that Wrap returns carries ID. Unwrap uses
// this KEK alone: it takes no key name from its input.
//
// Both leave their arguments as they are and keep none of them; the results
// belong to the caller, who clears an unwrapped key after use. Both are safe
// for concurrent use, and neither caches nor retries for longer than its
// context lasts. When that ends they return at once, with an error that wraps
// the context's.
//
// Every other error wraps one class: [ErrTampered] when the ciphertext is not
// authentic under this key and context, [ErrMalformed] when it cannot be a
// ciphertext of this service, [ErrNoKey], [ErrKeyState], [ErrDenied], or
// [ErrUnavailable] when asking again may help. An error quotes no key, no
// response body and no URL query. With an error there is no result.
//
// Package keyringtest checks an implementation.
type KEK interface {
	ID() KEKID
	Wrap(ctx context.Context, dek []byte, c Context) (WrappedKey, error)
	Unwrap(ctx context.Context, w WrappedKey, c Context) ([]byte, error)
}
