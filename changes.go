package satchel

import (
	"context"
	"iter"

	"github.com/satchelhq/satchel/bundle"
)

// Changes yields the changes of the bundle until ctx is done. It blocks between
// changes.
//
//	for diff := range client.Changes(ctx) {
//		log.Print(diff) // names only
//	}
//
// The first diff is relative to the bundle at the call of Changes, each further
// diff to the bundle of the previous one. Changes made while the loop body runs
// are combined into one diff, so a slow reader may miss steps but never the final
// state: applied in order, the diffs lead to the bundle that [Client.Bundle]
// returns. A reverted change is not reported, and no diff is empty.
//
// Every loop sees all changes. Any number of loops may run concurrently, over the
// results of several calls or of one. Changes starts no goroutine, and leaving the
// loop releases everything. Without [Client.Run], only [Client.Refresh] changes
// the bundle.
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

// replacement returns a channel that is closed when the current snapshot is
// replaced. Call it before Bundle, so that no replacement is missed.
func (c *Client) replacement() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.replaced == nil {
		c.replaced = make(chan struct{})
	}
	return c.replaced
}
