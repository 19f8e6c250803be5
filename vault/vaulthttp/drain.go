package vaulthttp

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A Drain prepares the handlers of a process for its end. Give the same one to
// [Runners], in Options.Drain, and to [Ready]; when the process has to end, call
// Start and then http.Server.Shutdown, which would otherwise wait for runners
// that wait for up to 58 seconds:
//
//	drain.Start(ctx, 10*time.Second)
//	err := server.Shutdown(ctx)
//
// The zero value is ready to use. A Drain is safe for concurrent use and must
// not be copied; one that has started does not stop.
type Drain struct {
	leaving atomic.Bool // from the call of Start

	made sync.Once
	// Kept for its end alone: it carries nothing, and belongs to no call.
	waits    context.Context //nolint:containedctx // see above
	endWaits context.CancelFunc
}

// Start drains in two steps. At once, [Ready] answers 503, so that whatever
// balances load sends new requests elsewhere; all requests are still served as
// usual. After delay, or as soon as ctx is done, requests of runners that wait
// are answered with 503 and Retry-After, and new ones do not wait: they get
// their bundle if it has changed, and otherwise the same answer. Runners then ask
// another process, or the next one.
//
// Start returns when both are done, and does not wait for the answers. delay
// should be the time that it takes to notice that a process is not ready; zero
// is fine for a process that is the only one.
func (d *Drain) Start(ctx context.Context, delay time.Duration) {
	d.leaving.Store(true)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	d.make()
	d.endWaits()
}

func (d *Drain) make() {
	d.made.Do(func() { d.waits, d.endWaits = context.WithCancel(context.Background()) })
}

// started reports whether the process is about to end. d may be nil.
func (d *Drain) started() bool { return d != nil && d.leaving.Load() }

// ended reports whether waits have ended. d may be nil.
func (d *Drain) ended() bool {
	if d == nil {
		return false
	}
	d.make()
	return d.waits.Err() != nil
}

// bound returns ctx for a request that may wait: it ends with waits too. The
// caller calls cancel at the end of the request. d may be nil.
func (d *Drain) bound(ctx context.Context) (bounded context.Context, cancel context.CancelFunc) {
	if d == nil {
		return ctx, func() {}
	}
	d.make()
	ctx, end := context.WithCancel(ctx)
	forget := context.AfterFunc(d.waits, end)
	return ctx, func() {
		forget()
		end()
	}
}
