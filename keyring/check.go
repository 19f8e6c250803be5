package keyring

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/satchelhq/satchel/internal/shared"
)

// How long a result of Check is reused.
const (
	goodCheckAge = 60 * time.Second
	badCheckAge  = 10 * time.Second
)

// The contexts of a check. They differ in one value, as those of two tenants do.
var (
	checkContext = Context{"purpose": "check", "tenant": "satchel-check"}
	wrongContext = Context{"purpose": "check", "tenant": "satchel-check-other"}
)

// holds returns how long the result of a check is reused.
func holds(err error) time.Duration {
	if err != nil {
		return badCheckAge
	}
	return goodCheckAge
}

// Check proves that the primary and each replica work: each wraps a random key,
// unwraps it, and refuses to unwrap it under another context. Check fails for a KEK
// that ignores its context. A policy in the key service that depends on the context
// must allow purpose "check" with the tenants "satchel-check" and
// "satchel-check-other".
//
// The error wraps [ErrUnavailable] only if nothing else is wrong. A good result is
// reused for 60 seconds and a bad one for 10, without a call. Concurrent callers
// share one check, which makes up to three calls of at most five seconds to each KEK.
// If ctx is done first, the check continues, but the error wraps that of ctx.
func (k *Keyring) Check(ctx context.Context) error {
	result, err := k.checks.Do(ctx, k.checkAll)
	if errors.Is(err, shared.ErrNoReturn) {
		err = errNoReturn
	}
	if err != nil {
		return fmt.Errorf("checking keyring: %w", err)
	}
	return result
}

// checkAll checks the primary and the replicas. It prefers any other error to an
// outage.
func (k *Keyring) checkAll(ctx context.Context) error {
	var failure error
	for _, kek := range k.current {
		err := k.checkOne(ctx, kek)
		if err != nil && (failure == nil || errors.Is(failure, ErrUnavailable) && !errors.Is(err, ErrUnavailable)) {
			failure = fmt.Errorf("checking keyring: %w", err)
		}
	}
	return failure
}

// checkOne proves that one KEK opens what it wrapped, under that context only.
func (k *Keyring) checkOne(ctx context.Context, kek namedKEK) error {
	probe := make([]byte, dataKeySize)
	rand.Read(probe)
	w, err := k.wrapOne(ctx, kek, probe, checkContext)
	if err != nil {
		return err
	}
	got, err := k.probe(ctx, kek, w, checkContext)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, probe) != 1 {
		return fmt.Errorf("KEK %q returned a different key than it wrapped", kek.id)
	}
	_, err = k.probe(ctx, kek, w, wrongContext)
	switch {
	case err == nil:
		return fmt.Errorf("KEK %q unwrapped a key under another context; use a key or a key type that binds its context", kek.id)
	case errors.Is(err, ErrTampered) || errors.Is(err, ErrDenied):
		return nil
	}
	return fmt.Errorf("under another context: %w", err)
}

// probe unwraps the key of a check in its own slot.
func (k *Keyring) probe(ctx context.Context, kek namedKEK, w WrappedKey, c Context) ([]byte, error) {
	if err := k.acquire(ctx); err != nil {
		return nil, err
	}
	defer k.release()
	return unwrapOne(ctx, callLimit, kek, w, c)
}
