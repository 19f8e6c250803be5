package redact

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSums feeds input that repeats the beginnings of long texts to a stream that
// compares sums as soon as possible and to one that never does.
func TestSums(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 5))
		unit := make([]byte, 1+rng.IntN(40))
		for i := range unit {
			unit[i] = 'a' + byte(rng.IntN(3))
		}
		var sources []source
		for i := range 1 + rng.IntN(6) {
			b := bytes.Repeat(unit, 1+3000/len(unit))[rng.IntN(len(unit)):][:10+rng.IntN(2500)]
			b = append(bytes.Clone(b), "xyz"[rng.IntN(3)])
			sources = append(sources, source{marker: []byte{'[', 'A' + byte(i), ']'}, forms: [][]byte{b, b[:len(b)-1]}})
		}
		data := bytes.Repeat(unit, 20_000/len(unit))
		for range rng.IntN(20) {
			data[rng.IntN(len(data))] = "abcxyz"[rng.IntN(6)]
		}
		bySums, byBytes := newMatcher(sources, bracketed), newMatcher(sources, bracketed)
		bySums.long.direct, byBytes.long.direct = 1+rng.IntN(30), len(data)
		var s, b stream
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(1+rng.IntN(1500)))
			got, want := s.feed(bySums, rest[:n], false), b.feed(byBytes, rest[:n], false)
			require.True(t, bytes.Equal(want, got), "seed %d: %d bytes before the end", seed, len(rest))
			rest = rest[n:]
		}
		got, want := s.feed(bySums, nil, true), b.feed(byBytes, nil, true)
		require.True(t, bytes.Equal(want, got), "seed %d: at the end", seed)
	}
}
