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
	"github.com/satchelhq/satchel/bundle/redact"
	"github.com/satchelhq/satchel/internal/shared"
)

// Client holds the merged bundle of several layers. [New] returns one. Its methods
// are safe for concurrent use.
type Client struct {
	current atomic.Pointer[bundle.Bundle]
	layers  []*layer
	opts    Options // with defaults
	running atomic.Bool
	// moved wakes Run: see poke.
	moved     chan struct{}
	refreshes shared.Flight[refreshed]

	// mu guards the fields below and the record of each layer. It is never held
	// while a provider, a hook or the logger runs.
	mu sync.Mutex
	// deadline is when the snapshot or a layer's state next changes by time
	// alone, or zero.
	deadline time.Time
	// replaced is closed when the snapshot is replaced. It is nil if replacement
	// was not called since the last time.
	replaced chan struct{}
	derived  []*derivation
	// redactors get the values of the layers: see Mask.
	redactors []*redact.Redactor
	// news are the pending calls of hooks and the logger, in order.
	news       []func()
	announcing bool
}

// New returns a client that has fetched every layer once. Layers are in rising
// precedence: if several have a secret of the same name, the last one wins. opts
// may be nil.
//
// New fetches the layers concurrently. It retries unavailable layers with
// [Client.Run]'s back-off until ctx is done; there is no other limit. Errors that
// need a fix first, [bundle.FetchPermanent] and [bundle.FetchRevoked], end New
// immediately. To start without a layer, wrap it in [bundle.Optional].
//
// New then fails with a [*bundle.MissingError] if the bundle lacks a secret that
// [Options.Require] names.
//
// A fetch error names the layers that failed. It wraps the cause and, if ctx is
// done, also the context's error: [errors.Is] and [errors.As] find both. A nil
// layer and an invalid option are errors too, returned before the first fetch.
//
// New starts nothing in the background: it returns when all its fetches have
// returned. See [Client.Run].
func New(ctx context.Context, layers []bundle.Provider, opts *Options) (*Client, error) {
	complete, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{opts: complete, moved: make(chan struct{}, 1)}
	if complete.Redactor != nil {
		c.redactors = []*redact.Redactor{complete.Redactor}
	}
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

// Bundle returns the current bundle. It never blocks and never returns nil.
//
// Without [Client.Run], only [Client.Refresh] replaces the bundle, and secrets
// stay in it past their expiry until then.
func (c *Client) Bundle() *bundle.Bundle { return c.current.Load() }

// fetchFirst fetches every layer until all have succeeded or one fails for good.
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
	// A final failure canceled the other layers; their errors add nothing.
	refused := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return kindOf(err) == bundle.FetchUnavailable })
	if len(refused) > 0 {
		return errors.Join(refused...)
	}
	return errors.Join(errs...)
}

// fetchUntilDone fetches one layer until it succeeds, fails for good, or ctx is
// done. It takes no turn: the client has no other users yet.
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
			last = err // an attempt that was cut off counts only if it was the first
		}
		if !pause(ctx, time.Until(l.next)) {
			return fmt.Errorf("fetching %s: %w; the last attempt: %w", l.place, ctx.Err(), last)
		}
	}
}

// pause reports whether d passed before ctx was done.
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
