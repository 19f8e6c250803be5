package providertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// Each of the following providers breaks one rule.

// broken overrides Fetch.
type broken struct {
	*memory
	fetch func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error)
}

func (b *broken) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	return b.fetch(ctx, last)
}

// String keeps fmt from printing the fields.
func (b *broken) String() string { return "broken" }

func losesASecret(m *memory) bundle.Provider {
	return &broken{m, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		b, err := m.Fetch(ctx, nil)
		if err != nil {
			return nil, err
		}
		var kept []bundle.Secret
		for s := range b.All() {
			if s.Value.Reveal() != "" {
				kept = append(kept, s)
			}
		}
		b, err = bundle.New(kept, nil)
		if err == nil && last != nil && b.Equal(last) {
			return last, nil
		}
		return b, err
	}}
}

func alwaysMakesANewBundle(m *memory) bundle.Provider {
	return &broken{m, func(ctx context.Context, _ *bundle.Bundle) (*bundle.Bundle, error) { return m.Fetch(ctx, nil) }}
}

func returnsAnyLast(m *memory) bundle.Provider {
	return &broken{m, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		if last != nil && ctx.Err() == nil {
			return last, nil
		}
		return m.Fetch(ctx, last)
	}}
}

func caches(m *memory) bundle.Provider {
	var once sync.Once
	var kept *bundle.Bundle
	return &broken{m, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		b, err := m.Fetch(ctx, last)
		if err != nil {
			return nil, err
		}
		once.Do(func() { kept = b })
		return kept, nil
	}}
}

func changesLastInPlace(m *memory) bundle.Provider {
	return &broken{m, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		b, err := m.Fetch(ctx, last)
		if err == nil && last != nil && b != last {
			*last = *b
		}
		return b, err
	}}
}

// hangs waits for a channel instead of its context.
func hangs(release <-chan struct{}) func(*memory) bundle.Provider {
	return func(m *memory) bundle.Provider {
		return &broken{m, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
			if ctx.Err() != nil {
				<-release
			}
			return m.Fetch(ctx, last)
		}}
	}
}

func ignoresItsContext(m *memory) bundle.Provider {
	return &broken{m, func(_ context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		return m.Fetch(context.Background(), last)
	}}
}

func blamesTheSourceForTheContext(m *memory) bundle.Provider {
	return &broken{m, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		if err := ctx.Err(); err != nil {
			return nil, &bundle.FetchError{Kind: bundle.FetchPermanent, Err: err}
		}
		return m.Fetch(ctx, last)
	}}
}

func servesOneCallerAtATime(m *memory) bundle.Provider {
	var busy atomic.Bool
	return &broken{m, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		if !busy.CompareAndSwap(false, true) {
			return nil, errors.New("busy")
		}
		defer busy.Store(false)
		time.Sleep(time.Millisecond) // in the bubble, the other callers run meanwhile
		return m.Fetch(ctx, last)
	}}
}

// from gives every secret an origin.
func from(origin bundle.Origin) func(*memory) bundle.Provider {
	return func(m *memory) bundle.Provider {
		return &broken{m, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b, _, err := m.look(origin)
			if err == nil && last != nil && b.Equal(last) {
				return last, nil
			}
			return b, err
		}}
	}
}

// called has any name.
type called struct {
	*memory
	name string
}

func (c called) String() string { return c.name }

// remembers keeps the last value in a string field and has no String method.
type remembers struct {
	source func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error)
	mu     sync.Mutex
	cached string
}

func (r *remembers) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	b, err := r.source(ctx, last)
	if s, ok := b.Get("API_KEY"); ok {
		r.mu.Lock()
		r.cached = s.Value.Reveal()
		r.mu.Unlock()
	}
	return b, err
}

// failsWith replaces the errors of a broken source.
func failsWith(change func(b *bundle.Bundle, err error) (*bundle.Bundle, error)) func(*memory) bundle.Provider {
	return func(m *memory) bundle.Provider {
		return &broken{m, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
			b, err := m.Fetch(ctx, last)
			if err != nil && ctx.Err() == nil {
				return change(last, err)
			}
			return b, err
		}}
	}
}

var (
	failsWithoutAKind = failsWith(func(_ *bundle.Bundle, err error) (*bundle.Bundle, error) {
		return nil, errors.New(err.Error())
	})
	quotesTheSource = failsWith(func(_ *bundle.Bundle, err error) (*bundle.Bundle, error) {
		return nil, &bundle.FetchError{Kind: bundle.FetchPermanent, Err: fmt.Errorf("cannot use %q: %w", canary, err)}
	})
	returnsLastWithAnError = failsWith(func(last *bundle.Bundle, err error) (*bundle.Bundle, error) { return last, err })
)

// badWaiter overrides Wait.
type badWaiter struct {
	waiter
	wait func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error)
}

func (b *badWaiter) Wait(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	return b.wait(ctx, last)
}

// neverSees waits only for its context.
func neverSees(m *memory) bundle.Provider {
	w := waiter{m}
	return &badWaiter{w, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		if last == nil {
			return w.Wait(ctx, nil)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
}

// neverSeesFailure takes a failure at the start of a wait for known.
func neverSeesFailure(m *memory) bundle.Provider {
	w := waiter{m}
	return &badWaiter{w, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		if _, _, err := m.look(inMemory); err != nil && last != nil {
			<-ctx.Done()
		}
		return w.Wait(ctx, last)
	}}
}

// waitsForAChangeFirst blocks even without last.
func waitsForAChangeFirst(m *memory) bundle.Provider {
	w := waiter{m}
	return &badWaiter{w, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		if last == nil {
			<-ctx.Done()
		}
		return w.Wait(ctx, last)
	}}
}

// neverEnds ignores the end of its context.
func neverEnds(release <-chan struct{}) func(*memory) bundle.Provider {
	return func(m *memory) bundle.Provider {
		w := waiter{m}
		return &badWaiter{w, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
			b, err := w.Wait(ctx, last)
			if ctx.Err() != nil {
				<-release
			}
			return b, err
		}}
	}
}

// hidesItsEnd returns last without an error when its context ends.
func hidesItsEnd(m *memory) bundle.Provider {
	w := waiter{m}
	return &badWaiter{w, func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
		b, err := w.Wait(ctx, last)
		if ctx.Err() != nil {
			return last, nil
		}
		return b, err
	}}
}
