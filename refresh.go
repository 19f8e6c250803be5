package satchel

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/satchelhq/satchel/bundle"
)

// flight is a refresh of all layers that any number of callers share.
type flight struct {
	cancel  context.CancelFunc
	callers int           // guarded by Client.mu
	done    chan struct{} // closed when the outcome is there

	changed bool
	err     error
}

// Refresh fetches all layers now, side by side, and reports whether the bundle
// then holds other secrets than before. It works with and without
// [Client.Run], and does not care how long ago a layer was fetched or failed.
//
// Concurrent callers share one flight, and a caller that joins late gets what
// the flight finds. One whose context ends returns at once; the flight is
// canceled when nobody is left.
//
// A layer that fails keeps its secrets, unless it is revoked, and keeps no other
// layer from being refreshed. The error names the layers that failed and wraps
// the causes.
func (c *Client) Refresh(ctx context.Context) (changed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("refreshing secrets: %w", err)
	}
	f := c.board(ctx)
	select {
	case <-f.done:
		return f.changed, f.err
	case <-ctx.Done():
		c.leave(f)
		return false, fmt.Errorf("refreshing secrets: %w", ctx.Err())
	}
}

// board joins the flight that is under way, or starts one.
func (c *Client) board(ctx context.Context) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight == nil {
		// The flight may outlast its first caller.
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c.flight = &flight{cancel: cancel, done: make(chan struct{})}
		go c.fly(ctx, c.flight)
	}
	c.flight.callers++
	return c.flight
}

// leave ends the flight if its last caller goes.
func (c *Client) leave(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.callers--; f.callers > 0 {
		return
	}
	f.cancel()
	if c.flight == f {
		c.flight = nil
	}
}

func (c *Client) fly(ctx context.Context, f *flight) {
	defer f.cancel()
	before := c.Bundle()
	errs := make([]error, len(c.layers))
	var group sync.WaitGroup
	for i, l := range c.layers {
		group.Go(func() {
			if err := c.fetchNow(ctx, l); err != nil {
				errs[i] = fmt.Errorf("fetching %s: %w", l.place, err)
			}
		})
	}
	group.Wait()

	f.changed = !bundle.Compare(before, c.Bundle()).Empty()
	f.err = errors.Join(errs...)
	c.mu.Lock()
	if c.flight == f {
		c.flight = nil
	}
	c.mu.Unlock()
	close(f.done)
}

// fetchNow fetches the layer as soon as it has the turn. A wait of Run gives way.
func (c *Client) fetchNow(ctx context.Context, l *layer) error {
	c.mu.Lock()
	l.wanted++
	if l.stop != nil {
		l.stop()
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		l.wanted--
		c.mu.Unlock()
		c.poke()
	}()
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer c.giveBack(l)
	return c.fetch(ctx, l)
}
