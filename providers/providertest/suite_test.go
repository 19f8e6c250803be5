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

// recorder is a tester that remembers instead of failing.
type recorder struct {
	ctx  context.Context
	text string
}

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }
func (r *recorder) FailNow()                          { runtime.Goexit() }
func (r *recorder) Helper()                           {}
func (r *recorder) Context() context.Context          { return r.ctx }

// verdict runs every rule and returns what those that fail say, by their names.
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
			// fails are the rules that it breaks, says a part of what the first of
			// them says.
			fails []string
			says  string
		}{
			{"loses a secret", losesASecret, []string{"FetchReturnsWhatTheSourceHolds"}, "without last, Fetch returns what the source holds"},
			{"makes a new bundle always", alwaysMakesANewBundle, []string{"AnUnchangedSourceGivesLastItself"}, "nothing has changed"},
			{"returns any last", returnsAnyLast, []string{"LastIsNotTakenOnTrust", "AChangedSourceIsSeen", "AFailureIsClassedAndHoldsNoValue"}, "last is not what the source holds"},
			{"caches", caches, []string{"AChangedSourceIsSeen"}, "providers do not cache"},
			{"changes last in place", changesLastInPlace, []string{"AnAnswerNeverChanges"}, "stays as it was"},
			{"ignores its context", ignoresItsContext, []string{"AContextThatIsOverEndsFetch"}, "is an error"},
			{"blames the source for the context", blamesTheSourceForTheContext, []string{"AContextThatIsOverEndsFetch"}, "says nothing against the source"},
			{"serves one caller at a time", servesOneCallerAtATime, []string{"ConcurrentCallersGetTheSame"}, "safe for concurrent use"},
			{"gives no origin", from(bundle.Origin{}), []string{"EverySecretHasAnOrigin"}, "needs an Origin"},
			{"gives the value as origin", from(bundle.Origin{Provider: "memory", Location: canary}), []string{"EverySecretHasAnOrigin", "NothingButRevealShowsAValue"}, "shows a value"},
			{"has an empty name", func(m *memory) bundle.Provider { return called{m, " "} }, []string{"ItSaysWhatItIsInOneLine"}, "in a few words"},
			{"has a name of two lines", func(m *memory) bundle.Provider { return called{m, "a\nb"} }, []string{"ItSaysWhatItIsInOneLine"}, "one line"},
			{"keeps a value in a field", func(m *memory) bundle.Provider { return &remembers{source: m.Fetch} }, []string{"NothingButRevealShowsAValue"}, "shows a value"},
			{"fails without a kind", failsWithoutAKind, []string{"AFailureIsClassedAndHoldsNoValue"}, "tells the caller how to go on"},
			{"quotes the source in an error", quotesTheSource, []string{"AFailureIsClassedAndHoldsNoValue"}, "shows a value"},
			{"returns last with an error", returnsLastWithAnError, []string{"AFailureIsClassedAndHoldsNoValue"}, "no bundle with an error"},
			{"waits and never sees a change", neverSees, []string{"WaitReturnsWhatChanged"}, "does not return"},
			{"waits for a change before it says anything", waitsForAChangeFirst, []string{"WaitWithoutLastReturnsAtOnce"}, "does not return"},
			{"hides that its context ended", hidesItsEnd, []string{"WaitEndsWithItsContext"}, "is an error"},
		} {
			t.Run(row.about, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { checkVerdict(t, row.make, row.fails, row.says) })
			})
		}
	})

	// The rules that a provider breaks by not returning: it is let go in the end.
	t.Run("fails a rule if it does not return", func(t *testing.T) {
		for _, row := range []struct {
			about string
			make  func(release <-chan struct{}) func(*memory) bundle.Provider
			fails string
		}{
			{"Fetch", hangs, "AContextThatIsOverEndsFetch"},
			{"Wait", neverEnds, "WaitEndsWithItsContext"},
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
	require.Equal(t, fails, names, "the provider breaks just these rules: %v", failed)
	require.Contains(t, strings.Join(strings.Fields(failed[fails[0]]), " "), says, "the failure tells the story")
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
		"a change that changes nothing": {idle, "Fixture.Change must change what the source holds"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, verdict(t, func() Fixture { return row.fixture })["AChangedSourceIsSeen"], row.says)
		})
	}
}
