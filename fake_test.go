package satchel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// fetchFunc is a Fetch or a Wait.
type fetchFunc func(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error)

// source is a provider in memory. It records its calls, and whether any of them
// overlapped.
type source struct {
	name string

	mu      sync.Mutex
	fetch   fetchFunc
	fetches []time.Time
	waits   []time.Time
	busy    int
	overlap bool
}

func newSource(name string, fetch fetchFunc) *source { return &source{name: name, fetch: fetch} }

func (s *source) String() string { return s.name }

func (s *source) Fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	s.mu.Lock()
	fetch := s.fetch
	s.mu.Unlock()
	defer s.call(&s.fetches)()
	return fetch(ctx, last)
}

// call records the start of a call. It returns a function that records its end.
func (s *source) call(calls *[]time.Time) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*calls = append(*calls, time.Now())
	s.busy++
	s.overlap = s.overlap || s.busy > 1
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy--
	}
}

// become sets the function for later fetches.
func (s *source) become(fetch fetchFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetch = fetch
}

// fetched returns the start times of the fetches so far.
func (s *source) fetched() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.fetches)
}

func (s *source) waited() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.waits)
}

func (s *source) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy == 0
}

func (s *source) overlapped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overlap
}

// waiting is a source that is also a Waiter.
type waiting struct {
	*source
	wait fetchFunc
}

func (w *waiting) Wait(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	defer w.call(&w.waits)()
	return w.wait(ctx, last)
}

// gives always fetches b.
func gives(b *bundle.Bundle) fetchFunc {
	return func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) { return b, nil }
}

// fails always fails with err.
func fails(err error) fetchFunc {
	return func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) { return nil, err }
}

// hangs blocks until its context is done.
func hangs(ctx context.Context, _ *bundle.Bundle) (*bundle.Bundle, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

var errDown = errors.New("connection refused")

var (
	errPermanent = &bundle.FetchError{Kind: bundle.FetchPermanent, Err: errors.New("line 3 makes no sense")}
	errRevoked   = &bundle.FetchError{Kind: bundle.FetchRevoked, Err: errors.New("the token was revoked")}
)

// secret returns a secret with an origin that tests can recognize.
func secret(name, value string) bundle.Secret {
	return bundle.Secret{Name: name, Value: bundle.NewValue(value), Origin: bundle.Origin{Provider: "test", Location: value + "-place"}}
}

func expiring(name, value string, expires time.Time) bundle.Secret {
	s := secret(name, value)
	s.Expires = expires
	return s
}

// bundleOf returns a bundle without metadata.
func bundleOf(secrets ...bundle.Secret) *bundle.Bundle { return bundleWith(bundle.Meta{}, secrets...) }

func bundleWith(meta bundle.Meta, secrets ...bundle.Secret) *bundle.Bundle {
	b, err := bundle.New(secrets, &meta)
	if err != nil {
		panic(err)
	}
	return b
}

// value returns the value of the client's secret, or "(none)".
func value(c *satchel.Client, name string) string {
	s, ok := c.Bundle().Get(name)
	if !ok {
		return "(none)"
	}
	return s.Value.Reveal()
}

// quiet returns options without a log.
func quiet() *satchel.Options { return &satchel.Options{Logger: slog.New(slog.DiscardHandler)} }

func newClient(t *testing.T, opts *satchel.Options, layers ...bundle.Provider) *satchel.Client {
	t.Helper()
	if opts == nil {
		opts = quiet()
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := satchel.New(t.Context(), layers, opts)
	require.NoError(t, err)
	return c
}

// run calls the client's Run in the background. stop ends it and returns its error.
// The end of the test stops it too.
func run(t *testing.T, c *satchel.Client) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- c.Run(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-result
		})
		return err
	}
	t.Cleanup(func() { _ = stop() })
	synctest.Wait()
	return stop
}

// notes is a list of lines, safe for concurrent use.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

// Write adds a line, for a slog handler, which writes one line at a time.
func (n *notes) Write(line []byte) (int, error) {
	n.add("%s", line)
	return len(line), nil
}

func (n *notes) String() string { return strings.Join(n.all(), "") }

// gaps returns the times between consecutive calls.
func gaps(calls []time.Time) []time.Duration {
	var gaps []time.Duration
	for i := 1; i < len(calls); i++ {
		gaps = append(gaps, calls[i].Sub(calls[i-1]))
	}
	return gaps
}
