package providertest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// Fixture is a provider to check, and what can be done to its source.
type Fixture struct {
	// Provider is the provider. If it is a [bundle.Waiter], that is checked
	// too.
	Provider bundle.Provider
	// Want holds the names and values that the source holds at first. There
	// has to be a value of 12 bytes or more, which the suite looks for where
	// no value may be.
	Want map[string]string
	// Change changes what the source holds, in values or names, and returns
	// what it then holds. Default: nil, the source never changes.
	Change func() map[string]string
	// Break makes the source fail, and returns how Fetch should class that.
	// Default: nil, the source never fails.
	Break func() bundle.FetchKind
}

// minCanary is how long a value must be to be looked for: a shorter one may
// stand somewhere by chance.
const minCanary = 12

// Run checks a provider, one subtest a rule. new returns a fixture with a
// source of its own; it is called once for each rule.
func Run(t *testing.T, new func(t *testing.T) Fixture) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) { r.run(t, new(t)) })
	}
}

// tester is what a rule needs of a test: small, so that the tests of this
// package can watch rules fail.
type tester interface {
	require.TestingT
	Helper()
	Context() context.Context
}

// A rule that does not apply to a fixture, because its source cannot change
// for instance, holds.
type rule struct {
	name  string
	check func(t tester, f Fixture)
}

var rules = []rule{
	{"FetchReturnsWhatTheSourceHolds", fetchReturnsTheSource},
	{"AnUnchangedSourceGivesLastItself", unchangedGivesLast},
	{"LastIsNotTakenOnTrust", lastIsNotTrusted},
	{"AChangedSourceIsSeen", changeIsSeen},
	{"AnAnswerNeverChanges", answersNeverChange},
	{"AContextThatIsOverEndsFetch", overContextEndsFetch},
	{"ConcurrentCallersGetTheSame", concurrentCallersAgree},
	{"EverySecretHasAnOrigin", secretsHaveOrigins},
	{"ItSaysWhatItIsInOneLine", saysWhatItIs},
	{"NothingButRevealShowsAValue", nothingShowsAValue},
	{"AFailureIsClassedAndHoldsNoValue", failuresAreClassed},
	{"WaitWithoutLastReturnsAtOnce", waitWithoutLast},
	{"WaitReturnsWhatChanged", waitSeesChange},
	{"WaitEndsWithItsContext", waitEndsWithContext},
}

func (r rule) run(t tester, f Fixture) {
	require.NotNil(t, f.Provider, "Fixture.Provider is required")
	require.NotEmpty(t, canaries(f), "Fixture.Want needs a value of %d bytes or more, to be looked for where no value may be", minCanary)
	r.check(t, f)
}

// canaries returns the values that are looked for.
func canaries(f Fixture) []string {
	var values []string
	for _, v := range f.Want {
		if len(v) >= minCanary {
			values = append(values, v)
		}
	}
	return values
}

// fetch returns what must not fail.
func fetch(t tester, f Fixture, last *bundle.Bundle) *bundle.Bundle {
	t.Helper()
	a := finish(t, "Fetch", func() (*bundle.Bundle, error) { return f.Provider.Fetch(t.Context(), last) })
	require.NoError(t, a.err, "the source is there: Fetch succeeds")
	return a.bundle
}

// values returns the names and values of a bundle.
func values(b *bundle.Bundle) map[string]string {
	m := map[string]string{}
	for s := range b.All() {
		m[s.Name] = s.Value.Reveal()
	}
	return m
}

// another returns a bundle that no source of a fixture holds.
func another(t tester) *bundle.Bundle {
	t.Helper()
	b, err := bundle.New([]bundle.Secret{{Name: "PROVIDERTEST_OTHER", Value: bundle.NewValue("x")}}, nil)
	require.NoError(t, err)
	return b
}
