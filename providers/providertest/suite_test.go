package providertest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestRun(t *testing.T) {
	t.Run("passes a correct provider", func(t *testing.T) {
		Run(t, func(t *testing.T) Fixture {
			m := newMemory()
			return m.fixture(m)
		})
	})

	t.Run("passes a correct waiter", func(t *testing.T) {
		Run(t, func(t *testing.T) Fixture {
			m := newMemory()
			return m.fixture(waiter{m})
		})
	})

	t.Run("needs neither Change nor Break", func(t *testing.T) {
		Run(t, func(t *testing.T) Fixture {
			m := newMemory()
			return Fixture{Provider: m, Want: map[string]string{"API_KEY": canary, "EMPTY": ""}}
		})
	})
}

// recorder is a tester that records failures.
type recorder struct {
	ctx  context.Context
	text string
}

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }
func (r *recorder) FailNow()                          { runtime.Goexit() }
func (r *recorder) Helper()                           {}
func (r *recorder) Context() context.Context          { return r.ctx }

// verdict runs every rule and returns the messages of failed rules by name.
func verdict(t *testing.T, new func() Fixture) map[string]string {
	failed := map[string]string{}
	for _, rule := range rules {
		ctx, cancel := context.WithCancel(t.Context())
		r := &recorder{ctx: ctx}
		done := make(chan struct{})
		go func() {
			defer close(done)
			rule.run(r, new())
		}()
		<-done
		cancel()
		if r.text != "" {
			failed[rule.name] = r.text
		}
	}
	return failed
}

func TestSuite_BrokenProvider(t *testing.T) {
	t.Run("fails the rule that it breaks", func(t *testing.T) {
		for _, row := range []struct {
			about string
			make  func(*memory) bundle.Provider
			// fails are the rules that it breaks; says is a part of the first
			// one's message.
			fails []string
			says  string
		}{
			{"loses a secret", losesASecret, []string{"Fetch returns the content of the source"}, "without last, Fetch returns the content of the source"},
			{"makes a new bundle always", alwaysMakesANewBundle, []string{"Fetch returns last if nothing changed"}, "nothing has changed, so Fetch must return last"},
			{"returns any last", returnsAnyLast, []string{"Fetch does not trust last", "Fetch returns a change", "an error has a kind and no value"}, "last differs from the source"},
			{"caches", caches, []string{"Fetch returns a change"}, "providers do not cache"},
			{"changes last in place", changesLastInPlace, []string{"a returned bundle never changes"}, "must not change"},
			{"ignores its context", ignoresItsContext, []string{"Fetch fails if its context has ended"}, "must return an error"},
			{"blames the source for the context", blamesTheSourceForTheContext, []string{"Fetch fails if its context has ended"}, "must not count against the source"},
			{"serves one caller at a time", servesOneCallerAtATime, []string{"Fetch is safe for concurrent use"}, "safe for concurrent use"},
			{"gives no origin", from(bundle.Origin{}), []string{"every secret has an origin"}, "needs an Origin"},
			{"gives the value as origin", from(bundle.Origin{Provider: "memory", Location: canary}), []string{"every secret has an origin", "nothing prints a value"}, "shows a value"},
			{"has an empty name", func(m *memory) bundle.Provider { return called{m, " "} }, []string{"String returns one line"}, "must not be blank"},
			{"has a name of two lines", func(m *memory) bundle.Provider { return called{m, "a\nb"} }, []string{"String returns one line"}, "must be one line"},
			{"keeps a value in a field", func(m *memory) bundle.Provider { return &remembers{source: m.Fetch} }, []string{"nothing prints a value"}, "shows a value"},
			{"fails without a kind", failsWithoutAKind, []string{"an error has a kind and no value"}, "the expected kind"},
			{"quotes the source in an error", quotesTheSource, []string{"an error has a kind and no value"}, "shows a value"},
			{"returns last with an error", returnsLastWithAnError, []string{"an error has a kind and no value"}, "an error excludes a bundle"},
			{"waits and never sees a change", neverSees, []string{"Wait returns a change", "Wait returns a failure that began before it"}, "does not return"},
			{"waits and never sees a failure", neverSeesFailure, []string{"Wait returns a failure that began before it"}, "does not return"},
			{"waits for a change without last", waitsForAChangeFirst, []string{"Wait returns immediately without last"}, "does not return"},
			{"hides that its context ended", hidesItsEnd, []string{"Wait ends with its context"}, "must return an error"},
		} {
			t.Run(row.about, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { checkVerdict(t, row.make, row.fails, row.says) })
			})
		}
	})

	// A provider that does not return is released at the end of the test.
	t.Run("fails a rule if it does not return", func(t *testing.T) {
		for _, row := range []struct {
			about string
			make  func(release <-chan struct{}) func(*memory) bundle.Provider
			fails string
		}{
			{"Fetch", hangs, "Fetch fails if its context has ended"},
			{"Wait", neverEnds, "Wait ends with its context"},
		} {
			t.Run(row.about, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					release := make(chan struct{})
					defer close(release)
					checkVerdict(t, row.make(release), []string{row.fails}, "does not return")
				})
			})
		}
	})
}

func checkVerdict(t *testing.T, make func(*memory) bundle.Provider, fails []string, says string) {
	t.Helper()
	failed := verdict(t, func() Fixture {
		m := newMemory()
		return m.fixture(make(m))
	})
	var names []string
	for _, r := range rules {
		if _, ok := failed[r.name]; ok {
			names = append(names, r.name)
		}
	}
	require.Equal(t, fails, names, "the provider breaks exactly these rules: %v", failed)
	require.Contains(t, strings.Join(strings.Fields(failed[fails[0]]), " "), says, "the message names the failure")
}

func TestFixture_Validation(t *testing.T) {
	m := newMemory()
	short := m.fixture(m)
	short.Want = map[string]string{"API_KEY": "short"}
	idle := m.fixture(m)
	idle.Change = func() map[string]string { return idle.Want }
	for name, row := range map[string]struct {
		fixture Fixture
		says    string
	}{
		"no provider":                   {Fixture{}, "Fixture.Provider is required"},
		"no value to look for":          {short, "Fixture.Want needs a value of 12 bytes or more"},
		"a change that changes nothing": {idle, "Fixture.Change must change the source"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, verdict(t, func() Fixture { return row.fixture })["Fetch returns a change"], row.says)
		})
	}
}
