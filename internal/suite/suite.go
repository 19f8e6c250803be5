// Package suite has the common parts of the conformance suites: the test interface
// that rules use, and a way to run a rule that is expected to fail.
package suite

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/stretchr/testify/require"
)

// T is the part of *testing.T that rules use. The tests of a suite pass another
// implementation, which may fail; see [Verdict].
type T interface {
	require.TestingT
	// Helper marks the calling function as a helper, as in package testing.
	Helper()
	// Context returns the context of the test.
	Context() context.Context
}

// Verdict runs check in a new goroutine and returns the failures that it reported,
// in their order. The context of check has the values of ctx but is never canceled.
func Verdict(ctx context.Context, check func(T)) []string {
	r := &recorder{ctx: context.WithoutCancel(ctx)}
	var wg sync.WaitGroup
	wg.Go(func() { check(r) }) // FailNow ends its goroutine
	wg.Wait()
	return r.failures
}

// recorder is a T that records failures. It is safe for concurrent use.
type recorder struct {
	ctx      context.Context //nolint:containedctx // the result of Context, as in testing.T
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
