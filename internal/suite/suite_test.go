package suite

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVerdict(t *testing.T) {
	t.Run("returns no failures for a check that passes", func(t *testing.T) {
		require.Empty(t, Verdict(t.Context(), func(c T) { require.NoError(c, c.Context().Err()) }))
	})
	t.Run("ends the check at a failure and returns it", func(t *testing.T) {
		after := false
		failures := Verdict(t.Context(), func(c T) {
			require.Equal(c, 1, 2, "one is not two")
			after = true
		})
		require.Len(t, failures, 1)
		require.Contains(t, failures[0], "one is not two")
		require.False(t, after)
	})
}
