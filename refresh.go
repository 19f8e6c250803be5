package satchel

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/satchelhq/satchel/bundle"
)

// refreshed is how a refresh of all layers ended.
type refreshed struct {
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
	r, err := c.refreshes.Do(ctx, c.refreshAll)
	if err != nil {
		return false, fmt.Errorf("refreshing secrets: %w", err)
	}
	return r.changed, r.err
}

func (c *Client) refreshAll(ctx context.Context) refreshed {
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

	return refreshed{changed: !bundle.Compare(before, c.Bundle()).Empty(), err: errors.Join(errs...)}
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
