package providers_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/internal/local/localtest"
	"github.com/satchelhq/satchel/providers/providertest"
)

// localCanary is a value that must not be in an error.
const localCanary = localtest.Canary

var write = localtest.Write

// fetched returns the names, values and origins in a provider's bundle.
func fetched(t *testing.T, p bundle.Provider) []string {
	t.Helper()
	b, err := p.Fetch(t.Context(), nil)
	require.NoError(t, err)
	lines := []string{}
	for s := range b.All() {
		lines = append(lines, fmt.Sprintf("%s=%s from %s", s.Name, s.Value.Reveal(), s.Origin))
	}
	return lines
}

// refused requires that Fetch fails permanently and that the error contains no
// value.
func refused(t *testing.T, p bundle.Provider, want string) {
	t.Helper()
	localtest.RequireFailure(t, p, bundle.FetchPermanent, want)
}

func TestEnv_Conformance(t *testing.T) {
	for name, env := range map[string]*providers.Env{
		"Names":  {Names: []string{"SUITE_A", "SUITE_B", "SUITE_UNSET"}},
		"Prefix": {Prefix: "SUITE_"},
		"both":   {Names: []string{"SUITE_A"}, Prefix: "SUITE_"},
	} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Fixture {
				t.Setenv("SUITE_A", localCanary)
				t.Setenv("SUITE_B", "")
				return providertest.Fixture{
					Provider: env,
					Want:     map[string]string{"SUITE_A": localCanary, "SUITE_B": ""},
					Change: func() map[string]string {
						t.Setenv("SUITE_B", "b")
						return map[string]string{"SUITE_A": localCanary, "SUITE_B": "b"}
					},
				}
			})
		})
	}
}

func TestEnv(t *testing.T) {
	t.Run("reads the variables that are set", func(t *testing.T) {
		t.Setenv("ENVTEST_A", "1")
		t.Setenv("ENVTEST_EMPTY", "")
		t.Setenv("ENVTEST_B", "x=y\n")
		t.Setenv("ENVTES", "no")
		t.Setenv("OTHER_ENVTEST_", "no")
		require.Equal(t, []string{"ENVTEST_A=1 from env ENVTEST_A", "ENVTEST_EMPTY= from env ENVTEST_EMPTY"},
			fetched(t, &providers.Env{Names: []string{"ENVTEST_EMPTY", "ENVTEST_UNSET", "ENVTEST_A"}}), "an empty variable is present, an unset one is omitted")
		all := []string{"ENVTEST_A=1 from env ENVTEST_A", "ENVTEST_B=x=y\n from env ENVTEST_B", "ENVTEST_EMPTY= from env ENVTEST_EMPTY"}
		require.Equal(t, all, fetched(t, &providers.Env{Prefix: "ENVTEST_"}), "names keep their prefix")
		require.Equal(t, all, fetched(t, &providers.Env{Prefix: "ENVTEST_", Names: []string{"ENVTEST_B", "ENVTEST_A", "ENVTEST_A"}}), "a name that is selected twice is read once")
		require.Empty(t, fetched(t, &providers.Env{Names: []string{"ENVTEST_UNSET"}}), "nothing set is an empty bundle")
	})

	t.Run("omits the runner's own settings", func(t *testing.T) {
		t.Setenv("SATCHEL_ENVTEST", localCanary)
		t.Setenv("SATCHELX", "1")
		require.Empty(t, fetched(t, &providers.Env{Names: []string{"SATCHEL_ENVTEST"}}), "even by name")
		require.Equal(t, []string{"SATCHELX=1 from env SATCHELX"}, fetched(t, &providers.Env{Prefix: "SATCHEL"}), "only what starts with SATCHEL_")
	})

	t.Run("rejects invalid fields", func(t *testing.T) {
		refused(t, &providers.Env{}, `providers.Env selects no variable; write Names: []string{"ANTHROPIC_API_KEY"}, or a Prefix`)
		refused(t, &providers.Env{Names: []string{"A-B"}}, `providers.Env: the name "A-B" has '-' at byte 1`)
	})

	t.Run("reports a variable with an invalid value as a problem", func(t *testing.T) {
		t.Setenv("ENVTEST_A", localCanary+"\xff")
		t.Setenv("ENVTEST_B", "1")
		for _, p := range []*providers.Env{{Prefix: "ENVTEST_"}, {Names: []string{"ENVTEST_A", "ENVTEST_B"}}} {
			b, err := p.Fetch(t.Context(), nil)
			require.NoError(t, err, "one bad variable does not take the others away")
			require.Equal(t, []string{"ENVTEST_B=1"}, b.Environ())
			require.Equal(t, []bundle.Problem{{
				Name: "ENVTEST_A", Origin: bundle.Origin{Provider: "env", Location: "ENVTEST_A"},
				Reason: fmt.Sprintf("the value is not valid UTF-8 at byte %d; encode binary data, for example as base64; it is skipped", len(localCanary)),
			}}, b.Problems())
		}
	})

	t.Run("reports a variable with an invalid name as a problem", func(t *testing.T) {
		t.Setenv("ENVTEST_A", "1")
		t.Setenv("ENVTEST_a.b", localCanary)
		b, err := (&providers.Env{Prefix: "ENVTEST_"}).Fetch(t.Context(), nil)
		require.NoError(t, err, "an unrelated variable does not stop the runner")
		require.Equal(t, 1, b.Len())
		require.Len(t, b.Problems(), 1)
		require.Equal(t, "env ENVTEST_a.b", b.Problems()[0].Origin.String())
		require.Contains(t, b.Problems()[0].Reason, `'.' at byte 9`)
		require.NotContains(t, fmt.Sprint(b.Problems()), localCanary)
	})

	t.Run("reads the environment at each Fetch", func(t *testing.T) {
		t.Setenv("ENVTEST_A", "1")
		p := &providers.Env{Names: []string{"ENVTEST_A"}}
		require.NoError(t, os.Unsetenv("ENVTEST_A"))
		require.Empty(t, fetched(t, p))
	})
}
