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
	require.Equal(t, f.Want, values(fetch(t, f, nil)), "without last, Fetch returns what the source holds")
}

func unchangedGivesLast(t tester, f Fixture) {
	last := fetch(t, f, nil)
	require.Same(t, last, fetch(t, f, last), "nothing has changed: Fetch returns last itself, so that nobody looks for changes")
}

func lastIsNotTrusted(t tester, f Fixture) {
	want := values(fetch(t, f, nil))
	require.Equal(t, want, values(fetch(t, f, another(t))), "last is not what the source holds: Fetch returns what is")
}

func changeIsSeen(t tester, f Fixture) {
	if f.Change == nil {
		return
	}
	last := fetch(t, f, nil)
	want := f.Change()
	require.NotEqual(t, f.Want, want, "Fixture.Change must change what the source holds")
	require.Equal(t, want, values(fetch(t, f, nil)), "providers do not cache: a change is seen at once, without last")
	require.Equal(t, want, values(fetch(t, f, last)), "providers do not cache: a change is seen at once, with last")
}

func answersNeverChange(t tester, f Fixture) {
	first := fetch(t, f, nil)
	want := values(first)
	if f.Change != nil {
		f.Change()
	}
	fetch(t, f, nil)
	fetch(t, f, first)
	require.Equal(t, want, values(first), "a bundle that was handed out stays as it was: others read it")
}

func overContextEndsFetch(t tester, f Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := finish(t, "Fetch with a context that is over", func() (*bundle.Bundle, error) { return f.Provider.Fetch(ctx, nil) })
	checkEnded(t, f, "Fetch", a)
}

// checkEnded checks the result of a call whose context has ended.
func checkEnded(t tester, f Fixture, name string, a answer) {
	t.Helper()
	require.Error(t, a.err, "%s with a context that is over is an error", name)
	require.ErrorIs(t, a.err, context.Canceled, "the error of %s is the context's", name)
	require.Equal(t, bundle.FetchUnavailable, kindOf(a.err), "the end of a context says nothing against the source")
	require.Nil(t, a.bundle, "there is no bundle with an error")
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
		require.NotEmpty(t, s.Origin.Provider, "%s needs an Origin, so that people can find it", s.Name)
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
		require.Error(t, a.err, "the source is broken: Fetch fails, with last and without")
		require.Equal(t, want.String(), kindOf(a.err).String(), "the kind of the FetchError tells the caller how to go on: %v", a.err)
		require.Nil(t, a.bundle, "there is no bundle with an error")
		checkNoValue(t, f, "the error", a.err.Error())
	}
}
