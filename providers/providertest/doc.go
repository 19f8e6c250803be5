// Package providertest checks that a [bundle.Provider] follows its contract.
//
//	func TestConformance(t *testing.T) {
//		providertest.Run(t, func(t *testing.T) providertest.Fixture {
//			source := newSource(t, "API_KEY", "first-value")
//			return providertest.Fixture{
//				Provider: &MyProvider{Source: source},
//				Want:     map[string]string{"API_KEY": "first-value"},
//				Change: func() map[string]string {
//					source.Set("API_KEY", "second-value")
//					return map[string]string{"API_KEY": "second-value"}
//				},
//			}
//		})
//	}
//
// Start with [Run]. Run the tests with -race, because the rule for concurrent use
// depends on it.
package providertest
