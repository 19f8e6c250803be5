package providers_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/providertest"
)

func TestStatic(t *testing.T) {
	t.Run("conforms to the provider contract", func(t *testing.T) {
		providertest.Run(t, func(t *testing.T) providertest.Fixture {
			list := providers.Static{{Name: "B"}, {Name: "A", Value: bundle.NewValue(localCanary)}}
			return providertest.Fixture{
				Provider: list,
				Want:     map[string]string{"A": localCanary, "B": ""},
				// Only this test uses the list.
				Change: func() map[string]string {
					list[0].Value = bundle.NewValue("b")
					return map[string]string{"A": localCanary, "B": "b"}
				},
				Break: func() bundle.FetchKind {
					list[0].Name = "A"
					return bundle.FetchPermanent
				},
			}
		})
	})

	t.Run("sets the origin of secrets without one", func(t *testing.T) {
		list := providers.Static{
			{Name: "B", Value: bundle.NewValue("2"), Origin: bundle.Origin{Provider: "flag", Location: "-b"}},
			{Name: "A", Value: bundle.NewValue("1")},
			{Name: "SATCHEL_RUNNER_TOKEN", Value: bundle.NewValue(localCanary)},
		}
		require.Equal(t, []string{"A=1 from static", "B=2 from flag -b"}, fetched(t, list), "the runner's own settings are omitted")
		require.Equal(t, bundle.Origin{}, list[1].Origin, "the caller's list is not modified")
		require.Equal(t, "static", list.String())
		require.Empty(t, fetched(t, providers.Static(nil)))
	})

	t.Run("rejects an invalid name or value", func(t *testing.T) {
		refused(t, providers.Static{{Name: "A-B", Value: bundle.NewValue(localCanary)}}, `the name "A-B"`)
		refused(t, providers.Static{{Name: "A", Value: bundle.NewValue(localCanary + "\x00")}}, `secret "A" (static): the value has a NUL`)
	})
}
