// Package pause waits for a while, or until a context is done.
package pause

import (
	"context"
	"math/rand/v2"
	"time"
)

// For returns nil after d, or the cause of ctx as soon as ctx is done.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// AfterConflict waits before the retry of a write that conflicted with another. The
// time is random, so that the same writers do not conflict again: less than 2 ms after
// the first attempt, which is attempt 0, and 2 ms more after each later one, up to
// 40 ms. It returns the cause of ctx as soon as ctx is done.
func AfterConflict(ctx context.Context, attempt int) error {
	return For(ctx, rand.N(time.Duration(min(attempt+1, 20))*2*time.Millisecond))
}
