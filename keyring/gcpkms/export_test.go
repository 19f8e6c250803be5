package gcpkms

import "github.com/googleapis/gax-go/v2"

// Internals for tests.
var (
	// Send repeats a call until it succeeds, fails permanently, or has no attempts left.
	Send = send
	// Backoff is that of a new KEK.
	Backoff = backoff
	// ErrDamaged means that a response arrived damaged.
	ErrDamaged = errDamaged
)

// RemovePauses makes k retry without a pause.
func RemovePauses(k *KEK) { k.backoff = gax.Backoff{Initial: 1, Max: 1} }
