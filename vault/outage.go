package vault

import (
	"context"
	"errors"
	"time"

	"github.com/satchelhq/satchel/vault/store"
)

const (
	// mostReads is the most reads for runners that run concurrently. After a
	// rotation, thousands of runners send requests at the same time. They queue here
	// and not at the database, where they would delay writers, the audit chain and
	// polling.
	mostReads = 16
	// readWithin is the longest read for a runner. A connection to a server that
	// stopped responding, as to a former primary, would otherwise keep its turn for as
	// long as the runner waits.
	readWithin = 10 * time.Second
	// holdFor is how long a poll that may wait is held while the store fails, until
	// the store works again.
	holdFor = 8 * time.Second
)

// readFor is read on behalf of a runner: it waits for its turn.
func (v *Vault) readFor(ctx context.Context, q store.Query) (*state, error) {
	return v.readThrough(ctx, q, v.readInTurn)
}

// readInTurn reads from the store as one of mostReads concurrent reads. The turn ends
// with the read: later steps such as key-service calls delay no other runner.
func (v *Vault) readInTurn(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	select {
	case v.turns <- struct{}{}:
		defer func() { <-v.turns }()
		ctx, cancel := context.WithTimeout(ctx, readWithin)
		defer cancel()
		return v.storage.Read(ctx, q)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// outage marks an error of the store itself.
type outage struct{ error }

func (o *outage) Unwrap() error { return o.error }

// readFailed returns the error of a read, which is an outage unless the store refuses a
// damaged row.
func readFailed(err error) error {
	if brokenRows(err) {
		return err
	}
	return &outage{err}
}

// outages is a store whose Read, Apply and Ping mark outages.
type outages struct{ store.Store }

func (s outages) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	snap, err := s.Store.Read(ctx, q)
	if err != nil {
		return nil, readFailed(err)
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

func (s outages) Ping(ctx context.Context) error {
	if err := s.Store.Ping(ctx); err != nil {
		return &outage{err}
	}
	return nil
}

// holding lets a poll outlast a short outage.
type holding struct {
	until time.Time // the end of this outage's hold; zero while the store works
	end   time.Time // the end of all holding, whatever the store does
}

// waitToRetry reports whether to retry an attempt that began at the given time and
// ended with err. Before it returns true, it waits until the store works again. The
// runner already has a bundle, so it loses nothing by waiting.
func (h *holding) waitToRetry(ctx context.Context, v *Vault, began time.Time, err error) bool {
	if _, ok := errors.AsType[*outage](err); !ok || ctx.Err() != nil {
		return false
	}
	t := time.Now()
	if h.until.IsZero() || t.Sub(began) >= holdFor { // the store has worked meanwhile
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
