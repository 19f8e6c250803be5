package keyring

import "errors"

// The classes of failure. Every error of this package's formats and of a [KEK]
// is one of these, except a context's own error. Only ErrUnavailable is worth
// a retry.
var (
	// ErrMalformed means that the input is not in the format, or is outside
	// its limits. No key was used on it.
	ErrMalformed = errors.New("malformed")
	// ErrTampered means that the bytes are not what was sealed under this key
	// and this context. It does not tell which of them differs.
	ErrTampered = errors.New("authentication failed")
	// ErrNoKey means that the key it takes is not configured, or is not there.
	ErrNoKey = errors.New("no such key")
	// ErrKeyState means that the key is there and cannot be used: disabled,
	// scheduled for deletion, too old a version, or a handle after Destroy.
	ErrKeyState = errors.New("key is not in a usable state")
	// ErrDenied means that the key service refused the caller.
	ErrDenied = errors.New("access denied")
	// ErrUnavailable means that the key service gave no answer that counts:
	// it is down, throttling, or was not reached.
	ErrUnavailable = errors.New("key service unavailable")
)
