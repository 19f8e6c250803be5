package satchel

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/satchelhq/satchel/bundle"
)

// refreshed is the outcome of a refresh of all layers.
type refreshed struct {
	changed bool
	err     error
}

// Refresh fetches all layers now, concurrently, and reports whether the secrets in
// the bundle have changed. It works with and without [Client.Run], and regardless
// of schedules and back-offs.
//
// Concurrent callers share one refresh: a caller that joins late gets the result of
// the fetches that are under way. A caller whose context ends returns immediately with
// that context's error; the fetches are canceled when no caller is left.
//
// A layer that fails keeps its secrets, unless it is revoked, and the other layers
// are refreshed anyway. The error names the layers that failed and wraps the
// causes.
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

// fetchNow fetches the layer as soon as it has the turn. It ends a wait of Run.
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
