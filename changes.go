package satchel

import (
	"context"
	"iter"

	"github.com/satchelhq/satchel/bundle"
)

// Changes yields what changes in the bundle until ctx ends, and waits in
// between.
//
//	for diff := range client.Changes(ctx) {
//		log.Print(diff) // names only
//	}
//
// The first diff is relative to the bundle at the call of Changes, and each one
// to that of the diff before. What changes while the loop body runs becomes one
// diff, so that a slow reader misses steps and never the end state: applied one
// after the other, the diffs lead to the bundle that [Client.Bundle] returns.
// What has changed back is no change, and there are no empty diffs.
//
// Every loop sees all changes, whoever else reads them: any number of loops may
// run at once, over the answers of several calls or of one. Changes starts
// nothing, and a loop that is left leaves nothing behind. Without [Client.Run]
// only [Client.Refresh] changes the bundle.
func (c *Client) Changes(ctx context.Context) iter.Seq[bundle.Diff] {
	start := c.Bundle()
	return func(yield func(bundle.Diff) bool) {
		seen := start
		for ctx.Err() == nil {
			replaced := c.replacement()
			now := c.Bundle()
			if diff := bundle.Compare(seen, now); !diff.Empty() {
				seen = now
				if !yield(diff) {
					return
				}
				continue
			}
			select {
			case <-replaced:
			case <-ctx.Done():
			}
		}
	}
}

// replacement returns a channel that is closed when the snapshot that Bundle
// returns after this is replaced.
func (c *Client) replacement() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.replaced == nil {
		c.replaced = make(chan struct{})
	}
	return c.replaced
}
