package satchel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/shared"
)

// Client holds the merged bundle of several layers. Its methods are safe for
// concurrent use.
type Client struct {
	current atomic.Pointer[bundle.Bundle]
	layers  []*layer
	opts    Options // complete
	running atomic.Bool
	// moved tells Run that there may be something to do: see poke.
	moved     chan struct{}
	refreshes shared.Flight[refreshed]

	// mu guards what follows and the record of each layer. It is never held
	// while a provider, a hook or the logger runs.
	mu sync.Mutex
	// deadline is when time alone next changes the snapshot or a layer's
	// state, or zero.
	deadline time.Time
	// replaced is closed when the snapshot is replaced. It is nil if nobody
	// has asked since the last time.
	replaced chan struct{}
	derived  []*derivation
	// news are the hooks and log lines still to be called, in order.
	news       []func()
	announcing bool
}

// New returns a client that has fetched every layer once. Layers are in rising
// precedence: where several have a name, the last one wins. opts may be nil.
//
// The layers are fetched side by side. What is unavailable is tried again, with
// the pauses of [Client.Run], until ctx ends; there is no other limit. What
// somebody has to act on first, [bundle.FetchPermanent] and
// [bundle.FetchRevoked], ends New at once. To start without a layer, wrap it in
// [bundle.Optional].
//
// Then New fails with a [*bundle.MissingError] if the bundle lacks a secret that
// [Options.Require] names.
//
// Any other error names the layers that failed. It wraps the cause, and if ctx ended
// also the context's error, so that [errors.Is] and [errors.As] find both.
//
// New starts nothing in the background: it returns when all its fetches have.
// See [Client.Run].
func New(ctx context.Context, layers []bundle.Provider, opts *Options) (*Client, error) {
	complete, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{opts: complete, moved: make(chan struct{}, 1)}
	if c.layers, err = newLayers(layers); err != nil {
		return nil, err
	}
	if err := c.fetchFirst(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.settle(time.Now())
	c.mu.Unlock()
	c.announce()
	if err := c.Bundle().Require(complete.Require...); err != nil {
		return nil, err
	}
	return c, nil
}

// Bundle returns the latest bundle. It never blocks and never returns nil.
//
// Without [Client.Run] only [Client.Refresh] replaces the bundle, and secrets
// stay in it past their expiry until then.
func (c *Client) Bundle() *bundle.Bundle { return c.current.Load() }

// fetchFirst fetches every layer until each has succeeded or one is refused.
func (c *Client) fetchFirst(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(c.layers))
	var group sync.WaitGroup
	for i, l := range c.layers {
		group.Go(func() {
			if errs[i] = c.fetchUntilDone(ctx, l); kindOf(errs[i]) != bundle.FetchUnavailable {
				cancel()
			}
		})
	}
	group.Wait()
	// A refusal canceled the other layers; their errors say nothing more.
	refused := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return kindOf(err) == bundle.FetchUnavailable })
	if len(refused) > 0 {
		return errors.Join(refused...)
	}
	return errors.Join(errs...)
}

// fetchUntilDone fetches one layer until it succeeds, is refused, or ctx ends.
// It takes no turn: nobody else has the client yet.
func (c *Client) fetchUntilDone(ctx context.Context, l *layer) error {
	var last error
	for {
		err := c.fetch(ctx, l)
		if err == nil {
			return nil
		}
		if kindOf(err) != bundle.FetchUnavailable {
			return fmt.Errorf("fetching %s: %w", l.place, err)
		}
		if last == nil || ctx.Err() == nil {
			last = err // and not that the last of several attempts was cut off
		}
		if !pause(ctx, time.Until(l.next)) {
			return fmt.Errorf("fetching %s: %w; the last attempt: %w", l.place, ctx.Err(), last)
		}
	}
}

// pause reports whether d passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
