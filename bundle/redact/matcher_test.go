package redact

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatcher_UpTo(t *testing.T) {
	// If a thousand values are prefixes of each other, walking through all of them at
	// each position of the input would take minutes.
	t.Run("finds the longest text that fits in a few steps", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 3))
		var sources []source
		for n := minForm; n < 1000; n++ {
			s := source{forms: [][]byte{bytes.Repeat([]byte("a"), n)}}
			for range rng.IntN(3) {
				s.forms = append(s.forms, append(bytes.Repeat([]byte("a"), n), 'b', 'a'+byte(rng.IntN(26))))
			}
			sources = append(sources, s)
		}
		m := newMatcher(sources, bracketed)
		for i := range m.texts {
			steps := 0
			for up := int32(i); m.texts[up].parent >= 0; up = m.texts[up].jump {
				steps++
			}
			require.Less(t, steps, 12, "jumps reach the first text: text %d", i)
		}
		for range 2000 {
			i, size := int32(rng.IntN(len(m.texts))), rng.IntN(1010)
			want := i
			for want >= 0 && len(m.texts[want].b) > size {
				want = m.texts[want].parent
			}
			require.Equal(t, want, m.upTo(size, i), "text %d, %d bytes", i, size)
		}
	})
}
