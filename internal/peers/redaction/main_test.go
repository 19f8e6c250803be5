package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestContenders(t *testing.T) {
	t.Run("each masks every secret", func(t *testing.T) {
		list := secrets(3, tokens)
		for _, c := range contenders[1:] {
			t.Run(c.name, func(t *testing.T) {
				var out bytes.Buffer
				w := c.make(&out, list)
				for range 3 {
					_, err := io.WriteString(w, "before "+list[1].Value.Reveal()+" after\n")
					require.NoError(t, err)
				}
				_, err := io.WriteString(w, strings.Repeat("x", 100)) // some hold back a fixed number of bytes
				require.NoError(t, err)
				require.NotContains(t, out.String(), list[1].Value.Reveal())
				require.Equal(t, 3, strings.Count(out.String(), "]"), "every occurrence must be replaced: %s", out.String())
			})
		}
	})
}

func TestRun(t *testing.T) {
	t.Run("prints the tables", func(t *testing.T) {
		var out bytes.Buffer
		require.NoError(t, run(&out, "../../../bundle/redact/testdata/logs", time.Millisecond, []int{1, 3}))
		require.Equal(t, 2+2+len(others(nil, secrets(1, tokens))), strings.Count(out.String(), "| 0.00 |"), "a row for each measurement, and no row with allocations:\n%s", out.String())
	})
}
