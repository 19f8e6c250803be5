package vaulthttp

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A Drain tells load balancers that a process will shut down, before it does. Pass the
// same Drain to [Runners], in Options.Drain, and to [Ready]. To shut down, call Start
// and then http.Server.Shutdown:
//
//	drain.Start(ctx, 10*time.Second)
//	err := server.Shutdown(ctx)
//
// Without load balancers, Shutdown alone is enough: it ends the waits of runners
// itself; see [Runners].
//
// The zero value is ready to use. A Drain is safe for concurrent use and must not
// be copied. It cannot be reset.
type Drain struct {
	leaving atomic.Bool // from the call of Start

	made sync.Once
	// waits is only used for its cancellation; it belongs to no call.
	waits    context.Context //nolint:containedctx // see above
	endWaits context.CancelFunc
}

// Start drains in two steps. First, [Ready] starts to respond 503, so that load
// balancers send new requests elsewhere; all requests are still served as usual.
// After delay, or when ctx is done, waiting requests of runners end with 503 and
// Retry-After. From then on, new requests do not wait: they get their bundle if it
// has changed, and otherwise 503. Runners then retry at another process.
//
// Start blocks until the second step has begun. It does not wait for the responses
// to be sent. delay should be the time in which load balancers notice that a process
// is not ready; zero is fine for a single process. Start may be called again.
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

// started reports whether Start was called. d may be nil.
func (d *Drain) started() bool { return d != nil && d.leaving.Load() }

// ended reports whether waits have ended. d may be nil.
func (d *Drain) ended() bool {
	if d == nil {
		return false
	}
	d.make()
	return d.waits.Err() != nil
}

// bound returns a context for a request that may wait: it is canceled when ctx or
// d.waits is. The caller calls cancel at the end of the request. d may be nil.
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

// drains has a Drain for each server that a handler was called by. The zero value is
// ready to use.
type drains struct {
	mu   sync.Mutex
	list map[*http.Server]*Drain
}

// of returns the Drain of the server of a request, whose waits end when the server's
// Shutdown begins. It is nil for a request without a server, as in tests.
func (d *drains) of(r *http.Request) *Drain {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || server == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	drain := d.list[server]
	if drain == nil {
		drain = &Drain{}
		drain.make()
		server.RegisterOnShutdown(drain.endWaits)
		if d.list == nil {
			d.list = map[*http.Server]*Drain{}
		}
		d.list[server] = drain
	}
	return drain
}
