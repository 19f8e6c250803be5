package redact_test

import (
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle/redact"
)

func TestWriter_SelfOverlap(t *testing.T) {
	// A masker that restarts at the wrong position after a mismatch leaks a secret
	// whose beginning occurs in it twice.
	t.Run("finds a secret that overlaps itself across writes", func(t *testing.T) {
		for _, row := range []struct{ value, first, second, want string }{
			{"s3cret", "s3s3", "cret", "s3[KEY]"},
			{"s3s3cret", "s3s3", "s3cret", "s3[KEY]"},
			{"00042beef", "000", "042beef", "0[KEY]"},
			{"00042beef", "00", "0042beef", "0[KEY]"},
			{"aabaabaaac", "aabaabaab", "aabaaac", "aabaab[KEY]"},
			{"abababc", "ababab", "abc", "ab[KEY]"},
		} {
			r := redact.New(secret("KEY", row.value))
			require.Equal(t, row.want, written(t, r, row.first, row.second), "%q in the writes %q and %q", row.value, row.first, row.second)
			require.Equal(t, row.want, written(t, r, strings.Split(row.first+row.second, "")...), "%q byte by byte", row.value)
		}
	})
}

// BenchmarkWriter measures the speed with many secrets. docs/redaction.md compares it
// with that of other maskers.
func BenchmarkWriter(b *testing.B) {
	var text strings.Builder
	for _, log := range logs(b) {
		text.WriteString(log)
	}
	for _, n := range []int{1, 50, 1000} {
		b.Run(fmt.Sprint(n, " secrets"), func(b *testing.B) {
			w := redact.New(randomSecrets(mathrand.New(mathrand.NewPCG(5, 6)), n)...).Writer(io.Discard)
			data := []byte(text.String())
			_, _ = w.Write(data) // grow the buffers and build the index
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				for piece := range slices.Chunk(data, 4096) {
					_, _ = w.Write(piece)
				}
			}
		})
	}
}
