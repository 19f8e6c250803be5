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

// A KEKID identifies a key-encryption key. Records contain it, so it must stay the
// same as long as records exist that were wrapped under the key. It is not secret.
type KEKID struct {
	// Service is the kind of key service, such as "awskms", in 1 to 64 bytes.
	Service string
	// Key is the name of the key in the service, such as an ARN, in 1 to 1,024
	// bytes.
	Key string
}

// String returns "service:key".
func (id KEKID) String() string { return id.Service + ":" + id.Key }

// check rejects an ID that does not fit into a record.
func (id KEKID) check() error {
	if id.Service == "" || len(id.Service) > maxServiceSize || id.Key == "" || len(id.Key) > maxKeySize {
		return fmt.Errorf("%w: the Service of a KEKID must have 1 to %d bytes, and its Key 1 to %d",
			ErrMalformed, maxServiceSize, maxKeySize)
	}
	return nil
}

// A WrappedKey is a data key encrypted under a KEK.
type WrappedKey struct {
	// KEK is the key that wrapped it, and that unwraps it.
	KEK KEKID
	// Version is the key service's name of the KEK version that wrapped it, in at
	// most 1,024 bytes. Empty if the service does not report a version.
	Version string
	// Blob is the ciphertext of 1 to 4,096 bytes. Only the KEK interprets it.
	Blob []byte
}

// A KEK is a key-encryption key. It stays in a key service, which wraps and
// unwraps data keys with it.
//
// Wrap and Unwrap neither change nor keep their arguments. The results belong to
// the caller, which clears an unwrapped key after use. Both methods are safe for
// concurrent use and do not cache. When their context is done, they return
// immediately with an error that wraps that of the context, and do not retry.
//
// Every other error wraps exactly one class: [ErrTampered] if the ciphertext is not
// authentic under this key and context, [ErrMalformed] if it cannot be a ciphertext
// of this service, [ErrNoKey], [ErrKeyState], [ErrDenied], or [ErrUnavailable] if a
// retry may help. An error quotes no key, no response body and no URL query. On
// error, the result is the zero value.
//
// Package keyringtest checks an implementation.
type KEK interface {
	// ID returns the constant ID of the key, which no other key has. It makes no
	// call.
	ID() KEKID
	// Wrap encrypts a data key of 32 bytes and binds it to the context. The wrapped
	// key that it returns carries the ID.
	Wrap(ctx context.Context, dek []byte, c Context) (WrappedKey, error)
	// Unwrap returns the data key of w under the context that it was wrapped with,
	// and under no other. It uses this KEK only, even if w names another.
	Unwrap(ctx context.Context, w WrappedKey, c Context) ([]byte, error)
}
