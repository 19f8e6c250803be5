// Package suite is what the conformance suites share: what a rule needs of a
// test, and a way to run a rule that is expected to fail.
package suite

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/stretchr/testify/require"
)

// T is what a rule needs of a *testing.T. A suite's own tests have another one,
// which is allowed to fail; see [Verdict].
type T interface {
	require.TestingT
	Helper()
	Context() context.Context
}

// Verdict runs check and returns the failures that it reported, in their order.
// The context that check sees is ctx without its end.
func Verdict(ctx context.Context, check func(T)) []string {
	r := &recorder{ctx: context.WithoutCancel(ctx)}
	var wg sync.WaitGroup
	wg.Go(func() { check(r) }) // FailNow ends a goroutine
	wg.Wait()
	return r.failures
}

// recorder is a T that keeps failures. It is safe for concurrent use.
type recorder struct {
	ctx      context.Context //nolint:containedctx // what Context returns, as testing.T keeps it
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) FailNow()                 { runtime.Goexit() }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}
