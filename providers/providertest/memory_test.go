package providertest

import (
	"context"
	"errors"
	"sync"

	"github.com/satchelhq/satchel/bundle"
)

// memory is a source in memory and a correct provider of it. The broken providers
// embed it.
type memory struct {
	mu      sync.Mutex
	secrets map[string]bundle.Value
	err     error
	changed chan struct{} // closed at the next change
}

const canary = "canary-value-1"

func newMemory() *memory {
	m := &memory{changed: make(chan struct{})}
	m.set(map[string]string{"API_KEY": canary, "EMPTY": ""})
	return m
}

// set replaces the content of the source.
func (m *memory) set(to map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secrets = map[string]bundle.Value{}
	for name, value := range to {
		m.secrets[name] = bundle.NewValue(value)
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// fixture returns a fixture for p, whose source is m.
func (m *memory) fixture(p bundle.Provider) Fixture {
	return Fixture{
		Provider: p,
		Want:     map[string]string{"API_KEY": canary, "EMPTY": ""},
		Change: func() map[string]string {
			to := map[string]string{"API_KEY": "canary-value-2", "NEW": "n"}
			m.set(to)
			return to
		},
		Break: func() bundle.FetchKind {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.err = errors.New("the source is gone")
			return bundle.FetchPermanent
		},
	}
}

// look returns the content of the source, and a channel that is closed at the next
// change.
func (m *memory) look(origin bundle.Origin) (*bundle.Bundle, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.changed, &bundle.FetchError{Kind: bundle.FetchPermanent, Err: m.err}
	}
	var secrets []bundle.Secret
	for name, value := range m.secrets {
		secrets = append(secrets, bundle.Secret{Name: name, Value: value, Origin: origin})
	}
	b, err := bundle.New(secrets, nil)
	return b, m.changed, err
}

var inMemory = bundle.Origin{Provider: "memory"}

func (m *memory) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, _, err := m.look(inMemory)
	if err == nil && last != nil && b.Equal(last) {
		return last, nil
	}
	return b, err
}

func (m *memory) String() string { return "memory" }

// waiter is a memory that implements Wait.
type waiter struct{ *memory }

func (w waiter) Wait(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	for {
		b, changed, err := w.look(inMemory)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || last == nil || !b.Equal(last) {
			return b, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
