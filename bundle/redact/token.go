package redact

import (
	"encoding/binary"

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

// tokenEncodings are the searched encodings of tokens. Letters and digits encoded in base64 have no + and
// no /, so both alphabets of base64 agree.
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
)

const (
	// minBody is the number of letters and digits in a row in a token, minEncoded
	// that in an encoded one.
	minBody    = wire.TokenLength - len(wire.TokenPrefix)
	minEncoded = (8*wire.TokenLength - 4) / 6
	// maxEncoded is the length of the longest encoding.
	maxEncoded = 2 * wire.TokenLength
)

func init() {
	for kind, k := range tokenKinds {
		for _, e := range tokenEncodings {
			s := shape{kind, e.sets(k.prefix)}
			each(s.sets[0], func(c byte) { shapes[c] = append(shapes[c], s) })
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
			sets = append(sets, sets[n-8]) // 8 positions before, the bits were the same ones of other bytes
			continue
		}
		// The bits are the last ones of x, or the last ones of x and the first ones
		// of y, before drop others.
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

func matchToken(b []byte) (match tokenMatch) {
	if len(b) == 0 {
		return match
	}
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
	// window is the number of bytes that findToken looks at in one step. Any minBody
	// bytes contain a window.
	window     = 16
	windowStep = minBody - window + 1
	// maxRun is the number of bytes of one run that are looked at together.
	maxRun = 512
)

// findToken returns the first position in [from, end) at which a token may begin,
// complete or cut off by the end of data, or end if there is none.
//
// Every token has many letters and digits in a row, which ordinary text seldom has.
func findToken(data []byte, from, end int) int {
	first := end
	if tail := max(from, len(data)-maxEncoded); tail < end {
		first = cutToken(data, tail, end)
	}
	floor := from // of the run
	limit := min(end+minEncoded, len(data)-window+1)
	for x := from + windowStep - 1; ; x += windowStep {
		if x = skipShort(data, x, limit); x >= limit {
			return first
		}
		start, stop := x, x
		for start > floor && wordBytes[data[start-1]] {
			start--
		}
		for most := min(start+maxRun, len(data)); stop < most && wordBytes[data[stop]]; {
			stop++
		}
		x = stop
		if stop-start < minBody {
			continue
		}
		if at := start - len(wire.TokenPrefix); at >= from && matchToken(data[at:]).size > 0 {
			return min(at, first)
		}
		if stop-start >= minEncoded {
			floor = stop - minEncoded + 1
			if at := findEncoded(data, start, min(floor, end)); at < min(floor, end) {
				return min(at, first)
			}
			x = floor - 1
		}
	}
}

// skipShort returns the first of the positions x, x+windowStep, … at which data has a
// window without spaces and most punctuation, or a number not less than limit.
func skipShort(data []byte, x, limit int) int {
	const ones = 0x0101010101010101
	for ; x < limit; x += windowStep {
		v, w := binary.LittleEndian.Uint64(data[x:]), binary.LittleEndian.Uint64(data[x+8:])
		// The top bit of a byte is set if the byte, or the lowest one with the bit set,
		// is below '0' or above '~'.
		if (v|v-'0'*ones|w|w-'0'*ones)&(0x80*ones) == 0 {
			break
		}
	}
	return x
}

// findEncoded returns the first position in [from, end) at which an encoded token
// may begin, or end. At least minEncoded bytes from each of these positions are letters
// and digits.
func findEncoded(data []byte, from, end int) int {
	for x := from + 3; x < end+3; x += 4 {
		n := uint(data[x]) | uint(data[x+1])<<8
		if pairs[n/64]>>(n%64)&1 == 0 {
			continue
		}
		for i := x - 3; i < min(x+1, end); i++ {
			if m := matchToken(data[i:]); m.size > 0 || m.more {
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
		if matchToken(data[i:]).more {
			return i
		}
	}
	return end
}
