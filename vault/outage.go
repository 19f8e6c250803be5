package vault

import (
	"context"
	"errors"
	"time"

	"github.com/satchelhq/satchel/vault/store"
)

const (
	// mostReads is how many reads for runners are under way at a time. A
	// rotation makes thousands of runners ask at once: they queue here rather
	// than at the database, where they would be in the way of writers, of the
	// audit chain and of the one who looks for changes.
	mostReads = 16
	// holdFor is how long a poll that may wait is held when the storage fails,
	// for it to come back.
	holdFor = 8 * time.Second
)

// readFor is read for a runner.
func (v *Vault) readFor(ctx context.Context, q store.Query) (*state, error) {
	return v.readThrough(ctx, q, v.readInTurn)
}

// readInTurn reads from the storage as one of mostReads. What comes after, such as
// asking the key service, is in nobody's way.
func (v *Vault) readInTurn(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	select {
	case v.turns <- struct{}{}:
		defer func() { <-v.turns }()
		return v.storage.Read(ctx, q)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// outage is an error of the storage itself.
type outage struct{ error }

func (o *outage) Unwrap() error { return o.error }

// outages is a storage whose Read and Apply say that the error is its own.
type outages struct{ store.Store }

func (s outages) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	snap, err := s.Store.Read(ctx, q)
	if err != nil {
		return nil, &outage{err}
	}
	return snap, nil
}

func (s outages) Apply(ctx context.Context, c *store.Change) error {
	err := s.Store.Apply(ctx, c)
	if err == nil || errors.Is(err, store.ErrConflict) {
		return err
	}
	return &outage{err}
}

// holding is a poll that outlasts a short outage.
type holding struct {
	until time.Time // zero while the storage works
	end   time.Time // of all holding, whatever the storage does
}

// waitToRetry reports whether an attempt that began then and ended with err is to be
// made again, after it has waited for the storage to answer. The runner has a
// bundle, so nothing is lost by that.
func (h *holding) waitToRetry(ctx context.Context, v *Vault, began time.Time, err error) bool {
	if _, ok := errors.AsType[*outage](err); !ok || ctx.Err() != nil {
		return false
	}
	t := time.Now()
	if h.until.IsZero() || t.Sub(began) >= holdFor { // it has worked meanwhile
		h.until = t.Add(holdFor)
	}
	if h.until.After(h.end) {
		h.until = h.end
	}
	if !t.Before(h.until) {
		return false
	}
	seat := v.watch.join(anyScope)
	defer v.watch.leave(seat)
	return v.watch.wait(ctx, v.storage, seat, h.until) == nil
}
