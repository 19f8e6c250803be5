package redact

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/satchelhq/satchel/internal/wire"
)

// tokenKinds are the kinds of tokens that every redactor masks, known or not, with
// the names that their markers show.
var tokenKinds = [2]struct{ prefix, name string }{
	{wire.TokenPrefix, "SATCHEL_RUNNER_TOKEN"},
	{wire.AdminTokenPrefix, "SATCHEL_ADMIN_TOKEN"},
}

// A byteSet is a set of bytes.
type byteSet [256]bool

// A shape is what the tokens of one kind look like in one encoding: the bytes that
// are possible at each position.
type shape struct {
	kind int
	sets []*byteSet
}

// A tokenEncoding writes a byte of alphabet for every width bits. Inside longer base64, a
// token may begin at any of three positions; the first skip bits are then in the
// same character as the text before it, which is left out as in formSet.base64.
type tokenEncoding struct {
	width, skip int
	alphabet    string
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// tokenEncodings are the encodings in which tokens are found. Encoded in base64, letters
// and digits have no + and no /, so both alphabets of base64 agree.
var tokenEncodings = func() []tokenEncoding {
	var all [256]byte
	for c := range all {
		all[c] = byte(c)
	}
	return []tokenEncoding{
		{8, 0, string(all[:])},
		{4, 0, lowerHex}, {4, 0, upperHex},
		{6, 0, base64Alphabet}, {6, 4, base64Alphabet}, {6, 2, base64Alphabet},
	}
}()

// wordBytes are the letters and digits.
var wordBytes = func() (set byteSet) {
	for c := range set {
		set[c] = isAlnum(byte(c))
	}
	return set
}()

var (
	// shapes are all shapes, by their first byte. An encoded one consists of letters
	// and digits, and so does a token after its prefix.
	shapes [256][]shape
	// pairs are the two bytes at the first four positions of encoded tokens.
	pairs [1 << 16 / 64]uint64
	// tokenStart are the bytes with which a shape begins.
	tokenStart byteSet
)

const (
	// minEncoded and maxEncoded are the least and the largest length of an encoded
	// token.
	minEncoded = (8*wire.TokenLength - 4) / 6
	maxEncoded = 2 * wire.TokenLength
)

func init() {
	for kind, k := range tokenKinds {
		for _, e := range tokenEncodings {
			s := shape{kind, e.sets(k.prefix)}
			each(s.sets[0], func(c byte) { shapes[c], tokenStart[c] = append(shapes[c], s), true })
			if e.width == 8 {
				continue
			}
			for i := range 4 {
				each(s.sets[i], func(c byte) {
					each(s.sets[i+1], func(d byte) { setPair(c, d) })
				})
			}
		}
	}
}

func each(set *byteSet, do func(c byte)) {
	for c, ok := range set {
		if ok {
			do(byte(c))
		}
	}
}

func setPair(c, d byte) {
	n := uint(c) | uint(d)<<8
	pairs[n/64] |= 1 << (n % 64)
}

// sets returns the possible bytes at each position of an encoded token.
func (e tokenEncoding) sets(prefix string) []*byteSet {
	var sets []*byteSet
	body := len(prefix) * 8 // the first bit after the prefix
	for at := e.skip; at+e.width <= 8*wire.TokenLength; at += e.width {
		if n := len(sets); at-8*e.width >= body {
			// The bits 8 positions earlier are at the same places of other bytes.
			sets = append(sets, sets[n-8])
			continue
		}
		// The bits are the last ones of x, or the last ones of x and the first ones
		// of y, and drop others follow.
		drop, mask := 16-at%8-e.width, 1<<e.width-1
		var high, low, set byteSet
		each(tokenBytes(prefix, at/8), func(x byte) { high[int(x)<<8>>drop&mask] = true })
		each(tokenBytes(prefix, (at+e.width-1)/8), func(y byte) { low[int(y)>>drop&mask] = true })
		each(&high, func(x byte) { each(&low, func(y byte) { set[e.alphabet[x|y]] = true }) })
		sets = append(sets, &set)
	}
	return sets
}

// tokenBytes returns the possible bytes at position i of a token.
func tokenBytes(prefix string, i int) *byteSet {
	if i >= len(prefix) {
		return &wordBytes
	}
	var set byteSet
	set[prefix[i]] = true
	return &set
}

// A tokenMatch tells about a token at the beginning of a text.
type tokenMatch struct {
	size, kind int  // size is 0 if there is none
	more       bool // the text is the beginning of a token, whose rest may follow
}

// matchToken returns the token at the beginning of b, which is not empty.
func matchToken(b []byte) (match tokenMatch) {
	for _, s := range shapes[b[0]] {
		n := min(len(b), len(s.sets))
		i := 1
		for i < n && s.sets[i][b[i]] {
			i++
		}
		if i == len(s.sets) {
			return tokenMatch{size: i, kind: s.kind}
		}
		match.more = match.more || i == len(b)
	}
	return match
}

const (
	// window is the number of bytes that findToken looks at in one step. Every token
	// contains such a window.
	window     = 16
	windowStep = wire.TokenLength - window + 1
	// maxRun is the number of bytes of one run that are looked at together.
	maxRun = 512
)

// findToken returns the first position in [from, end) at which a token may begin,
// complete or cut off by the end of data, or end if there is none.
//
// All bytes of tokens are dense: neither spaces nor most punctuation. Ordinary text
// seldom has so many of them in a row.
func findToken(data []byte, from, end int) int {
	first := end
	if tail := max(from, len(data)-maxEncoded); tail < end {
		first = cutToken(data, tail, end)
	}
	floor := from
	limit := min(end+windowStep-1, len(data)-window+1)
	for x := from + windowStep - 1; ; x += windowStep {
		if x = skipSparse(data, x, limit); x >= limit {
			return first
		}
		start := denseStart(data, x, floor)
		x = denseEnd(data, x+window, start+maxRun)
		if end := min(x-wire.TokenLength+1, first); start < end {
			if at := findPlain(data, start, end); at < end {
				first = at
			}
		}
		if x-start >= minEncoded {
			floor = x - minEncoded + 1 // more of the run may follow
			end := min(floor, first)
			if at := findEncoded(data, start, end); at < end {
				first = at
			}
			x = floor - 1
		}
		if first < x {
			return first
		}
	}
}

const (
	ones = 0x0101010101010101
	tops = 0x80 * ones
)

// sparse returns a number with the top bits of those bytes of v that are below '0' or
// above '~'.
func sparse(v uint64) uint64 { return (v | ^((v | tops) - '0'*ones)) & tops }

// skipSparse returns the first of the positions x, x+windowStep, … at which data has a
// window without such bytes, or a number not less than limit.
func skipSparse(data []byte, x, limit int) int {
	for ; x < limit; x += windowStep {
		v, w := binary.LittleEndian.Uint64(data[x:]), binary.LittleEndian.Uint64(data[x+8:])
		// If any byte is below '0', this sets the top bit of the lowest one.
		if (v|(v-'0'*ones)|w|(w-'0'*ones))&tops == 0 {
			break
		}
	}
	return x
}

// denseStart returns the start of the dense bytes before x, not before floor.
func denseStart(data []byte, x, floor int) int {
	for ; x-8 >= floor; x -= 8 {
		if s := sparse(binary.LittleEndian.Uint64(data[x-8:])); s != 0 {
			return x - bits.LeadingZeros64(s)/8
		}
	}
	for x > floor && data[x-1] >= '0' && data[x-1] < 0x80 {
		x--
	}
	return x
}

// denseEnd returns the end of the dense bytes from x on, or about limit.
func denseEnd(data []byte, x, limit int) int {
	limit = min(limit, len(data))
	for ; x+8 <= limit; x += 8 {
		if s := sparse(binary.LittleEndian.Uint64(data[x:])); s != 0 {
			return x + bits.TrailingZeros64(s)/8
		}
	}
	for x < limit && data[x] >= '0' && data[x] < 0x80 {
		x++
	}
	return x
}

// findPlain returns the first position in [from, end) of a token that is not encoded,
// or end.
func findPlain(data []byte, from, end int) int {
	const last = len(wire.TokenPrefix) - 1
	for at := from; at < end; at++ {
		i := bytes.IndexByte(data[at+last:end+last], '_')
		if i < 0 {
			break
		}
		if at += i; matchToken(data[at:]).size > 0 {
			return at
		}
	}
	return end
}

// findEncoded returns the first position in [from, end) at which an encoded token
// may begin, or end. At least minEncoded dense bytes follow each of these positions.
func findEncoded(data []byte, from, end int) int {
	for x := from + 3; x < end+3; x += 4 {
		n := uint(data[x]) | uint(data[x+1])<<8
		if pairs[n/64]>>(n%64)&1 == 0 {
			continue
		}
		for i := x - 3; i < min(x+1, end); i++ {
			if m := matchToken(data[i:]); m.size > 0 { // cutToken finds incomplete ones
				return i
			}
		}
	}
	return end
}

// cutToken returns the first position in [from, end) at which the rest of data is the
// beginning of a token, or end.
func cutToken(data []byte, from, end int) int {
	run := len(data)
	for run > from && wordBytes[data[run-1]] {
		run--
	}
	for i := max(from, run-len(wire.TokenPrefix)); i < end; i++ {
		if tokenStart[data[i]] && matchToken(data[i:]).more {
			return i
		}
	}
	return end
}
