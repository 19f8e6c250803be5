package leaktest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/internal/suite"
)

func TestNoCanary(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		"canary-0123 is a part":              "",
		"the canary-012345678, shortened":    "the log shows a value",
		"a short one":                        "the log shows a value",
		"token rnt_0123456789ABCDEFGHIJ":     "the log shows a runner token",
		"the beginning of rnt_0123456789ABC": "",
	} {
		failures := suite.Verdict(t.Context(), func(c suite.T) {
			leaktest.NoCanary(c, text, "the log", "canary-0123456789abcdef", "short")
		})
		if want == "" {
			require.Empty(t, failures, text)
			continue
		}
		require.Len(t, failures, 1, text)
		require.Contains(t, failures[0], want)
	}
}
