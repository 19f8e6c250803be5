package providertest

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func waitWithoutLast(t tester, f Fixture) {
	w, ok := f.Provider.(bundle.Waiter)
	if !ok {
		return
	}
	a := finish(t, "Wait without last", func() (*bundle.Bundle, error) { return w.Wait(t.Context(), nil) })
	require.NoError(t, a.err, "Wait must succeed")
	require.Equal(t, f.Want, values(a.bundle), "without last, Wait returns the content of the source")
}

func waitSeesChange(t tester, f Fixture) {
	w, ok := f.Provider.(bundle.Waiter)
	if !ok || f.Change == nil {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	last := fetch(t, f, nil)
	waiting := begin(func() (*bundle.Bundle, error) { return waitUntil(ctx, w, last) })
	want := f.Change()
	a := await(t, "Wait after a change of the source", waiting)
	require.NoError(t, a.err, "Wait must succeed")
	require.Equal(t, want, values(a.bundle), "Wait returns the new content of the source")

	a = finish(t, "Wait with an outdated last", func() (*bundle.Bundle, error) { return waitUntil(ctx, w, last) })
	require.NoError(t, a.err, "Wait must succeed")
	require.Equal(t, want, values(a.bundle), "Wait must not miss a change between two calls")
}

func waitSeesFailure(t tester, f Fixture) {
	w, ok := f.Provider.(bundle.Waiter)
	if !ok || f.Break == nil {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	last := fetch(t, f, nil)
	f.Break()
	a := finish(t, "Wait for a source that failed before", func() (*bundle.Bundle, error) { return w.Wait(ctx, last) })
	require.Error(t, a.err, "Wait must not miss a failure between two calls")
	require.Nil(t, a.bundle, "an error excludes a bundle")
}

func waitEndsWithContext(t tester, f Fixture) {
	w, ok := f.Provider.(bundle.Waiter)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	last := fetch(t, f, nil)
	waiting := begin(func() (*bundle.Bundle, error) { return waitUntil(ctx, w, last) })
	cancel()
	a := await(t, "Wait after the end of its context", waiting)
	if a.err == nil {
		require.Same(t, last, a.bundle, "nothing has changed, so Wait must return last")
		a = finish(t, "Wait with an ended context", func() (*bundle.Bundle, error) { return w.Wait(ctx, last) })
	}
	checkEnded(t, f, "Wait", a)
}
