package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestContenders(t *testing.T) {
	t.Run("each reads the requested value", func(t *testing.T) {
		for _, n := range []int{1, 50, 1000} {
			for _, c := range contenders {
				read, err := c.open(t.Context(), values(n), name(n/2))
				require.NoError(t, err, c.name)
				require.Equal(t, values(n)[name(n/2)], read(2), c.name)
			}
		}
	})

	t.Run("Satchel reads without an allocation", func(t *testing.T) {
		for _, c := range contenders {
			if strings.HasPrefix(c.name, "satchel") {
				read, err := c.open(t.Context(), values(50), name(25))
				require.NoError(t, err)
				require.Zero(t, testing.AllocsPerRun(100, func() { read(1) }), c.name)
			}
		}
	})
}

func TestRun(t *testing.T) {
	t.Run("prints a row for each contender", func(t *testing.T) {
		var out strings.Builder
		require.NoError(t, run(t.Context(), &out, 1, time.Microsecond, []int{1, 3}))
		require.Equal(t, 2, strings.Count(out.String(), "1 of "))
		for _, c := range contenders {
			require.Contains(t, out.String(), "\n| "+c.name+" |")
		}
	})
}
