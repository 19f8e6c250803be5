package providertest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// patience bounds a call that should return immediately, and a Wait after a change.
// It only limits failing tests; a correct provider is much faster.
const patience = 20 * time.Second

// answer is the result of a call.
type answer struct {
	bundle *bundle.Bundle
	err    error
}

// begin starts a call in a goroutine.
func begin(call func() (*bundle.Bundle, error)) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		b, err := call()
		c <- answer{b, err}
	}()
	return c
}

// await returns the result of a call that should return soon.
func await(t tester, name string, c <-chan answer) answer {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case a := <-c:
		return a
	case <-timer.C:
		require.FailNow(t, name+" does not return", "within %s", patience)
		return answer{}
	}
}

// finish makes a call that should return soon.
func finish(t tester, name string, call func() (*bundle.Bundle, error)) answer {
	t.Helper()
	return await(t, name, begin(call))
}

// waitUntil calls Wait until it returns a bundle other than last. Wait may return
// last when its source's maximum wait has elapsed.
func waitUntil(ctx context.Context, w bundle.Waiter, last *bundle.Bundle) (*bundle.Bundle, error) {
	for {
		b, err := w.Wait(ctx, last)
		if err != nil || b != last {
			return b, err
		}
		if ctx.Err() != nil {
			return b, nil //nolint:nilerr // the context has ended; b is last
		}
	}
}
