package keyring

import "errors"

// The classes of failure. Every error about the formats of this package and every
// error of a [KEK] wraps one of them, except the error of a canceled or expired
// context. Only ErrUnavailable is worth a retry.
var (
	// ErrMalformed means that the input has an invalid format or is outside the
	// limits. No key was used on it.
	ErrMalformed = errors.New("malformed")
	// ErrTampered means that the ciphertext was not sealed under this key and this
	// context, or was changed. It does not reveal which.
	ErrTampered = errors.New("authentication failed")
	// ErrNoKey means that the required key is not configured or does not exist.
	ErrNoKey = errors.New("no such key")
	// ErrKeyState means that the key exists but cannot be used: it is disabled or
	// scheduled for deletion, its version is too old, its type is unsuitable, or its
	// handle was destroyed.
	ErrKeyState = errors.New("key is not in a usable state")
	// ErrDenied means that the key service denied access: invalid credentials or
	// missing permission.
	ErrDenied = errors.New("access denied")
	// ErrUnavailable means that the key service sent no valid response: it is down,
	// throttles the caller, or cannot be reached.
	ErrUnavailable = errors.New("key service unavailable")
)
