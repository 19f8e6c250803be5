package vault

import (
	"context"
	"errors"
	"time"

	"github.com/satchelhq/satchel/vault/audit"
)

// Observer is a set of functions that a [Vault] calls when something has
// happened, for metrics; any of them may be nil. They are called
// from many goroutines at once, must return soon, and must not call the vault.
//
// For calls of a key service and of an integration, wrap the keyring.KEK or the
// bundle.Provider.
type Observer struct {
	// Bootstrapped is called after every [Vault.Bootstrap] with the time that
	// it took, in which the runner may have asked to wait.
	Bootstrapped func(outcome Outcome, took time.Duration)
	// Written is called for every change that was stored, and says what it was.
	Written func(action audit.Action)
}

// Outcome says how a bootstrap ended.
type Outcome string

const (
	OutcomeDelivered Outcome = "delivered"
	OutcomeUnchanged Outcome = "unchanged"
	// OutcomeRefused means that the token was refused.
	OutcomeRefused Outcome = "refused"
	// OutcomeGone means that the runner did not wait for the answer.
	OutcomeGone   Outcome = "gone"
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
