package redact

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"sync"
)

// agree returns the length of the common prefix of x and y.
func agree(x, y []byte) int {
	n := min(len(x), len(y))
	x, y = x[:n], y[:n]
	i := 0
	for ; i+128 <= n && bytes.Equal(x[i:i+128], y[i:i+128]); i += 128 {
	}
	for ; i+8 <= n; i += 8 {
		if d := binary.LittleEndian.Uint64(x[i:]) ^ binary.LittleEndian.Uint64(y[i:]); d != 0 {
			return i + bits.TrailingZeros64(d)/8
		}
	}
	for ; i < n && x[i] == y[i]; i++ {
	}
	return i
}

// The sums below keep the time linear for input that repeats the beginning of a
// long text: the text may then begin at every position, and agree with the input
// over its full length each time. Such stretches are compared by sums, which can be
// subtracted from each other.
//
// A sum is a polynomial of the bytes modulo a prime, at a random point drawn once
// per process. For input that does not depend on the point, two different stretches
// of a megabyte have the same sum with a probability below 1 in 2^40.

const (
	// maxDirect is the number of bytes that are first compared directly.
	maxDirect = 512
	// sumStep is the distance between the stored sums of a text, inputStep the
	// distance between those of the input.
	sumStep   = 16
	inputStep = 8

	sumPrime = 1<<61 - 1
)

var sumPoint = 1<<60 + rand.Uint64N(1<<60-1)

func sumMul(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	return sumReduce(lo&sumPrime + (lo>>61 | hi<<3))
}

func sumReduce(x uint64) uint64 {
	if x >= sumPrime {
		x -= sumPrime
	}
	return x
}

// sumAdd returns the sum of the bytes with the given sum followed by b.
func sumAdd(sum uint64, b []byte) uint64 {
	for _, c := range b {
		sum = sumReduce(sumMul(sum, sumPoint) + uint64(c) + 1)
	}
	return sum
}

// longTexts caches the sums of texts.
type longTexts struct {
	direct int // maxDirect, or less in tests

	mu     sync.Mutex
	sums   map[int][]uint64 // by index of the text: of its first 0, sumStep, … bytes
	powers []uint64         // of the point, with exponents 0, sumStep, …
}

// of returns the sums of b, which is text i, and at least as many powers.
func (l *longTexts) of(i int, b []byte) (sums, powers []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sums, ok := l.sums[i]; ok {
		return sums, l.powers
	}
	sums = make([]uint64, 1, 1+len(b)/sumStep)
	for at := sumStep; at <= len(b); at += sumStep {
		sums = append(sums, sumAdd(sums[len(sums)-1], b[at-sumStep:at]))
	}
	step := uint64(1)
	for range sumStep {
		step = sumMul(step, sumPoint)
	}
	if l.sums == nil {
		l.sums, l.powers = map[int][]uint64{}, []uint64{1}
	}
	for len(l.powers) < len(sums) {
		l.powers = append(l.powers, sumMul(l.powers[len(l.powers)-1], step))
	}
	l.sums[i] = sums
	return sums, l.powers
}

// inputSums holds the sums of a stretch of a stream. Positions count from the
// beginning of the stream.
type inputSums struct {
	from uint64   // the position of sums[0]
	sums []uint64 // at from, from+inputStep, …
	// at is the position of the last seek, and sum the sum there. Positions never
	// decrease.
	at, sum uint64
}

// seek moves to the position at. data begins at the position base, which is not
// after the previous position.
func (s *inputSums) seek(at, base uint64, data []byte) {
	if len(s.sums) == 0 || s.end() < base {
		*s = inputSums{from: at, sums: append(s.sums[:0], 0), at: at}
		return
	}
	s.sum = sumAdd(s.sum, data[s.at-base:at-base])
	s.at = at
	if gone := int(min(at-s.from, s.end()-s.from)) / inputStep; gone > len(s.sums)/2 {
		s.sums = append(s.sums[:0], s.sums[gone:]...)
		s.from += uint64(gone) * inputStep
	}
}

func (s *inputSums) end() uint64 { return s.from + uint64(len(s.sums)-1)*inputStep }

// before returns the sum of all bytes before the position to.
func (s *inputSums) before(to, base uint64, data []byte) uint64 {
	for end := s.end(); end+inputStep <= to; end += inputStep {
		s.sums = append(s.sums, sumAdd(s.sums[len(s.sums)-1], data[end-base:end-base+inputStep]))
	}
	i := (to - s.from) / inputStep
	return sumAdd(s.sums[i], data[s.from+i*inputStep-base:to-base])
}

// agreeBySums returns a lower bound, at least have, of the length of the common
// prefix of the input at the position at and b, which is text i. The bound is less
// than sumStep below the actual length. The first have bytes are known to agree.
func (l *longTexts) agreeBySums(s *inputSums, at, base uint64, data []byte, i int, b []byte, have int) int {
	s.seek(at, base, data)
	sums, powers := l.of(i, b)
	same := func(steps int) bool {
		want := sumReduce(sumMul(s.sum, powers[steps]) + sums[steps])
		return s.before(at+uint64(steps)*sumStep, base, data) == want
	}
	lo, hi := have/sumStep, int(min(uint64(len(b)), uint64(len(data))-(at-base)))/sumStep
	if lo < hi && same(hi) {
		lo = hi // the usual case for repetitive input
	}
	for hi--; lo < hi; {
		if mid := (lo + hi + 1) / 2; same(mid) {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return max(have, lo*sumStep)
}
