package vault

import (
	"context"
	"errors"
	"time"

	"github.com/satchelhq/satchel/vault/audit"
)

// Observer is a set of functions that a [Vault] calls after events, for metrics.
// Each may be nil. They are called concurrently, must return soon, and must not
// call the vault.
//
// To observe calls of a key service or of an integration, wrap the keyring.KEK or
// the bundle.Provider.
type Observer struct {
	// Bootstrapped is called after every [Vault.Bootstrap]. The duration includes
	// the time spent waiting for a change. Default: nil, no call.
	Bootstrapped func(outcome Outcome, took time.Duration)
	// Written is called once for every stored audit action of a write, after the
	// write was stored. Default: nil, no call.
	Written func(action audit.Action)
}

// Outcome is the result of a bootstrap.
type Outcome string

const (
	// OutcomeDelivered means that the runner received a bundle.
	OutcomeDelivered Outcome = "delivered"
	// OutcomeUnchanged means that the runner had the current revision; see
	// [ErrUnchanged].
	OutcomeUnchanged Outcome = "unchanged"
	// OutcomeRefused means that the token was refused; see [TokenError].
	OutcomeRefused Outcome = "refused"
	// OutcomeGone means that the context of the call was done first: the runner did
	// not wait for the response.
	OutcomeGone Outcome = "gone"
	// OutcomeFailed means any other error.
	OutcomeFailed Outcome = "failed"
)

func (o *Observer) reportBootstrap(ctx context.Context, err error, took time.Duration) {
	if o.Bootstrapped != nil {
		o.Bootstrapped(outcomeOf(ctx, err), took)
	}
}

func outcomeOf(ctx context.Context, err error) Outcome {
	_, refused := errors.AsType[*TokenError](err)
	switch {
	case err == nil:
		return OutcomeDelivered
	case errors.Is(err, ErrUnchanged):
		return OutcomeUnchanged
	case refused:
		return OutcomeRefused
	case ctx.Err() != nil:
		return OutcomeGone
	}
	return OutcomeFailed
}

func (o *Observer) reportWrites(entries []audit.Entry) {
	if o.Written != nil {
		for _, e := range entries {
			o.Written(e.Action)
		}
	}
}
