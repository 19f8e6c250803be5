package providertest

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func fetchReturnsTheSource(t tester, f Fixture) {
	require.Equal(t, f.Want, values(fetch(t, f, nil)), "without last, Fetch returns the content of the source")
}

func unchangedGivesLast(t tester, f Fixture) {
	last := fetch(t, f, nil)
	require.Same(t, last, fetch(t, f, last), "nothing has changed, so Fetch must return last itself")
}

func lastIsNotTrusted(t tester, f Fixture) {
	want := values(fetch(t, f, nil))
	require.Equal(t, want, values(fetch(t, f, another(t))), "last differs from the source, so Fetch must return the content of the source")
}

func changeIsSeen(t tester, f Fixture) {
	if f.Change == nil {
		return
	}
	last := fetch(t, f, nil)
	want := f.Change()
	require.NotEqual(t, f.Want, want, "Fixture.Change must change the source")
	require.Equal(t, want, values(fetch(t, f, nil)), "providers do not cache: Fetch returns a change immediately, without last")
	require.Equal(t, want, values(fetch(t, f, last)), "providers do not cache: Fetch returns a change immediately, with last")
}

func answersNeverChange(t tester, f Fixture) {
	first := fetch(t, f, nil)
	want := values(first)
	if f.Change != nil {
		f.Change()
	}
	fetch(t, f, nil)
	fetch(t, f, first)
	require.Equal(t, want, values(first), "a returned bundle must not change, because other goroutines read it")
}

func overContextEndsFetch(t tester, f Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := finish(t, "Fetch with an ended context", func() (*bundle.Bundle, error) { return f.Provider.Fetch(ctx, nil) })
	checkEnded(t, f, "Fetch", a)
}

// checkEnded checks the result of a call whose context has ended.
func checkEnded(t tester, f Fixture, name string, a answer) {
	t.Helper()
	require.Error(t, a.err, "%s with an ended context must return an error", name)
	require.ErrorIs(t, a.err, context.Canceled, "the error of %s is the context's", name)
	require.Equal(t, bundle.FetchUnavailable, kindOf(a.err), "an ended context must not count against the source")
	require.Nil(t, a.bundle, "an error excludes a bundle")
	checkNoValue(t, f, "the error", a.err.Error())
}

func kindOf(err error) bundle.FetchKind {
	if e, ok := errors.AsType[*bundle.FetchError](err); ok {
		return e.Kind
	}
	return bundle.FetchUnavailable
}

func concurrentCallersAgree(t tester, f Fixture) {
	const callers, calls = 8, 4
	last := fetch(t, f, nil)
	var all sync.WaitGroup
	answers := make(chan answer, callers*calls)
	for i := range callers {
		all.Go(func() {
			for range calls {
				var a answer
				if i%2 == 0 {
					a.bundle, a.err = f.Provider.Fetch(t.Context(), nil)
				} else {
					a.bundle, a.err = f.Provider.Fetch(t.Context(), last)
				}
				answers <- a
			}
		})
	}
	finish(t, "Fetch in several goroutines", func() (*bundle.Bundle, error) {
		all.Wait()
		return nil, nil
	})
	close(answers)
	for a := range answers {
		require.NoError(t, a.err, "a provider is safe for concurrent use")
		require.Equal(t, values(last), values(a.bundle), "a provider is safe for concurrent use")
	}
}

func secretsHaveOrigins(t tester, f Fixture) {
	for s := range fetch(t, f, nil).All() {
		require.NotEmpty(t, s.Origin.Provider, "%s needs an Origin", s.Name)
		require.False(t, strings.ContainsAny(s.Origin.String(), "\r\n"), "the origin of %s is one line", s.Name)
		checkNoValue(t, f, "the origin of "+s.Name, s.Origin.String())
	}
}

func failuresAreClassed(t tester, f Fixture) {
	if f.Break == nil {
		return
	}
	last := fetch(t, f, nil)
	want := f.Break()
	for _, last := range []*bundle.Bundle{nil, last} {
		a := finish(t, "Fetch from a broken source", func() (*bundle.Bundle, error) { return f.Provider.Fetch(t.Context(), last) })
		require.Error(t, a.err, "Fetch must fail for a broken source, with and without last")
		require.Equal(t, want.String(), kindOf(a.err).String(), "the error must have the expected kind: %v", a.err)
		require.Nil(t, a.bundle, "an error excludes a bundle")
		checkNoValue(t, f, "the error", a.err.Error())
	}
}
