package providertest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// Fixture is a provider to check, with functions that modify its source.
type Fixture struct {
	// Provider is the provider to check. If it is a [bundle.Waiter], Wait is
	// checked too. Required.
	Provider bundle.Provider
	// Want has the initial names and values of the source. At least one value
	// must have 12 bytes or more; the suite verifies that such values do not
	// leak. Required.
	Want map[string]string
	// Change changes names or values in the source and returns its new content.
	// Default: nil, the source never changes.
	Change func() map[string]string
	// Break makes the source fail and returns the expected kind of Fetch's
	// error. Default: nil, the source never fails.
	Break func() bundle.FetchKind
}

// minCanary is the minimum length of a value that the suite searches for. A shorter
// one may occur by chance.
const minCanary = 12

// Run checks a provider in one subtest per rule. It calls new once per rule; each
// fixture must have its own source. A call that should return immediately fails the
// test after 20 seconds.
func Run(t *testing.T, new func(t *testing.T) Fixture) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) { r.run(t, new(t)) })
	}
}

// tester is the part of *testing.T that rules use. The tests of this package
// implement it to observe failing rules.
type tester interface {
	require.TestingT
	Helper()
	Context() context.Context
}

// rule is one rule of the contract. A rule that does not apply to a fixture, for
// example because its source cannot change, passes.
type rule struct {
	name  string
	check func(t tester, f Fixture)
}

var rules = []rule{
	{"Fetch returns the content of the source", fetchReturnsTheSource},
	{"Fetch returns last if nothing changed", unchangedGivesLast},
	{"Fetch does not trust last", lastIsNotTrusted},
	{"Fetch returns a change", changeIsSeen},
	{"a returned bundle never changes", answersNeverChange},
	{"Fetch fails if its context has ended", overContextEndsFetch},
	{"Fetch is safe for concurrent use", concurrentCallersAgree},
	{"every secret has an origin", secretsHaveOrigins},
	{"String returns one line", saysWhatItIs},
	{"nothing prints a value", nothingShowsAValue},
	{"an error has a kind and no value", failuresAreClassed},
	{"Wait returns immediately without last", waitWithoutLast},
	{"Wait returns a change", waitSeesChange},
	{"Wait returns a failure that began before it", waitSeesFailure},
	{"Wait ends with its context", waitEndsWithContext},
}

func (r rule) run(t tester, f Fixture) {
	require.NotNil(t, f.Provider, "Fixture.Provider is required")
	require.NotEmpty(t, canaries(f), "Fixture.Want needs a value of %d bytes or more, to detect leaks", minCanary)
	r.check(t, f)
}

// canaries returns the values that must not leak.
func canaries(f Fixture) []string {
	var values []string
	for _, v := range f.Want {
		if len(v) >= minCanary {
			values = append(values, v)
		}
	}
	return values
}

// fetch returns the bundle of a Fetch that must succeed.
func fetch(t tester, f Fixture, last *bundle.Bundle) *bundle.Bundle {
	t.Helper()
	a := finish(t, "Fetch", func() (*bundle.Bundle, error) { return f.Provider.Fetch(t.Context(), last) })
	require.NoError(t, a.err, "Fetch must succeed")
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

// another returns a bundle that differs from every fixture's source.
func another(t tester) *bundle.Bundle {
	t.Helper()
	b, err := bundle.New([]bundle.Secret{{Name: "PROVIDERTEST_OTHER", Value: bundle.NewValue("x")}}, nil)
	require.NoError(t, err)
	return b
}
