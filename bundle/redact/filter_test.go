package redact

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestFilter(t *testing.T) {
	// Each lookup and each false positive of a filter costs time. The number of
	// lookups does not grow with the number of secrets.
	t.Run("needs few lookups even with thousands of secrets", func(t *testing.T) {
		names, err := filepath.Glob("testdata/logs/*.txt")
		require.NoError(t, err)
		var log []byte
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			log = append(log, text...)
		}
		require.Greater(t, len(log), 50_000)
		for _, n := range []int{1, 1000, 5000} {
			rng := rand.New(rand.NewPCG(uint64(n), 1))
			var secrets []bundle.Secret
			for i := range n {
				var value strings.Builder
				for range 40 {
					value.WriteByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[rng.IntN(62)])
				}
				secrets = append(secrets, bundle.Secret{Name: fmt.Sprint("KEY_", i), Value: bundle.NewValue(value.String())})
			}
			m := New(secrets...).core().matcher()
			require.Len(t, m.filters, 1, "one filter has all forms of such secrets")
			f := m.filters[0]
			var looks, chances int
			for x, end := f.lead, len(log)-maxGram; x < end; x += f.stride {
				next := f.skip(log, x, end)
				looks += (next-x)/f.stride + 1
				if x = next; x < end {
					chances++
				}
			}
			require.Less(t, looks, len(log)/20, "%d secrets: at most one lookup per 20 bytes", n)
			require.Less(t, chances, len(log)/1000, "%d secrets: %d of %d lookups are false positives", n, chances, looks)
		}
	})
}
