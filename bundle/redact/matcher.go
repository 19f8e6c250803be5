package redact

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"time"
)

// A matcher holds the texts to mask. It is immutable, and shared by all streams of
// a Redactor.
//
// The texts are sorted, so that those that share a prefix are neighbors, and
// indexed by their first minForm bytes.
type matcher struct {
	texts   []text
	markers [][]byte
	// groups are the runs of texts with the same first minForm bytes. slots is a
	// hash table of groups: each slot holds an index of groups plus one.
	groups    []group
	slots     []uint32
	slotShift uint
	// byFirst has, for each byte, the index of the first text that begins with
	// it; the next entry is the end of these texts.
	byFirst [257]uint32
	// brief is a filter for prefixes of 2 to minForm-1 bytes: an unset bit means
	// that no text has the prefix, a set one that a text may have it.
	brief      []uint64
	briefShift uint
	filters    []*filter
	// room is the number of bytes that a filter may read after the start of a
	// text.
	room int
	long longTexts
	// tokens are the markers of the kinds of tokens.
	tokens [2][]byte
	// expires is the time at which the next text must be forgotten, or zero.
	expires time.Time
}

// A text is one form of one value.
type text struct {
	b      []byte
	marker uint32
	// parent is the longest other text that is a prefix of this one, or -1. jump
	// is usually a shorter prefix: see matcher.upTo.
	parent, jump int32
}

type group struct {
	key    uint64
	lo, hi uint32
}

// A source is a marker and the texts that it replaces.
type source struct {
	marker []byte
	forms  [][]byte
}

// newMatcher returns a matcher of sources and of tokens. marker returns the markers of
// tokens by name. A text that several sources have belongs to the first.
func newMatcher(sources []source, marker func(name string) []byte) *matcher {
	m := &matcher{long: longTexts{direct: maxDirect}}
	for kind, k := range tokenKinds {
		m.tokens[kind] = marker(k.name)
	}
	for i, s := range sources {
		m.markers = append(m.markers, s.marker)
		for _, form := range s.forms {
			m.texts = append(m.texts, text{b: form, marker: uint32(i)})
		}
	}
	slices.SortFunc(m.texts, func(x, y text) int {
		return cmp.Or(bytes.Compare(x.b, y.b), cmp.Compare(x.marker, y.marker))
	})
	m.texts = slices.CompactFunc(m.texts, func(x, y text) bool { return bytes.Equal(x.b, y.b) })
	m.texts = slices.Clip(m.texts)
	m.findParents()
	m.indexBeginnings()
	m.filters, m.room = newFilters(m.texts)
	return m
}

func (m *matcher) findParents() {
	var open []int32 // the texts that are prefixes of the current one
	for i := range m.texts {
		t := &m.texts[i]
		for len(open) > 0 && !bytes.HasPrefix(t.b, m.texts[open[len(open)-1]].b) {
			open = open[:len(open)-1]
		}
		t.parent, t.jump = -1, -1
		if depth := len(open); depth > 0 {
			// Jump up by the lowest set bit of the depth: a few such jumps lead to
			// any ancestor.
			t.parent, t.jump = open[depth-1], open[depth-depth&-depth]
		}
		open = append(open, int32(i))
	}
}

// upTo returns the longest text of at most size bytes among text i and the texts
// that are its prefixes, or -1.
func (m *matcher) upTo(size int, i int32) int32 {
	for i >= 0 && len(m.texts[i].b) > size {
		if jump := m.texts[i].jump; jump >= 0 && len(m.texts[jump].b) > size {
			i = jump
		} else {
			i = m.texts[i].parent
		}
	}
	return i
}

func (m *matcher) indexBeginnings() {
	for i, t := range m.texts {
		m.byFirst[int(t.b[0])+1] = uint32(i + 1)
		if key := beginning(t.b, minForm); len(m.groups) == 0 || m.groups[len(m.groups)-1].key != key {
			m.groups = append(m.groups, group{key: key, lo: uint32(i)})
		}
		m.groups[len(m.groups)-1].hi = uint32(i + 1)
	}
	for c := 1; c < len(m.byFirst); c++ {
		m.byFirst[c] = max(m.byFirst[c], m.byFirst[c-1])
	}

	width := bits.Len(uint(4*len(m.groups) + 63))
	m.slots, m.slotShift = make([]uint32, 1<<width), uint(64-width)
	for i, g := range m.groups {
		at := scatter(g.key) >> m.slotShift
		for m.slots[at] != 0 {
			at = (at + 1) % uint64(len(m.slots))
		}
		m.slots[at] = uint32(i + 1)
	}

	width = bits.Len(uint(32*len(m.groups) + 1023))
	m.brief, m.briefShift = make([]uint64, 1<<(width-6)), uint(64-width)
	for _, g := range m.groups {
		for size := 2; size < minForm; size++ {
			bit := briefHash(m.texts[g.lo].b, size) >> m.briefShift
			m.brief[bit/64] |= 1 << (bit % 64)
		}
	}
}

// beginning returns the first size bytes of b, at most 8, as a number.
func beginning(b []byte, size int) uint64 {
	var n uint64
	for i := range size {
		n |= uint64(b[i]) << (8 * i)
	}
	return n
}

func briefHash(b []byte, size int) uint64 {
	return scatter(beginning(b, size) | uint64(size)<<56)
}

// scatter is a hash function: all its bits depend on all bits of n.
func scatter(n uint64) uint64 {
	hi, lo := bits.Mul64(n, 0xd6e8feb86659fd93)
	return hi ^ lo
}

// group returns the range of texts with the first minForm bytes of b, or an empty
// range with lo == hi. b has at least minForm bytes.
func (m *matcher) group(b []byte) (lo, hi int) {
	var key uint64
	if len(b) >= 8 {
		key = binary.LittleEndian.Uint64(b) & (1<<(8*minForm) - 1)
	} else {
		key = beginning(b, minForm)
	}
	at := scatter(key) >> m.slotShift
	if m.slots[at] == 0 {
		return 0, 0
	}
	return m.probe(key, at)
}

// probe searches the slots from at on.
func (m *matcher) probe(key, at uint64) (lo, hi int) {
	for {
		n := m.slots[at]
		if n == 0 {
			return 0, 0
		}
		if g := &m.groups[n-1]; g.key == key {
			return int(g.lo), int(g.hi)
		}
		at = (at + 1) & uint64(len(m.slots)-1)
	}
}

// begins reports whether a text longer than b begins with b, which has 1 to
// minForm-1 bytes.
func (m *matcher) begins(b []byte) bool {
	lo, hi := m.byFirst[b[0]], m.byFirst[int(b[0])+1]
	if lo == hi || len(b) == 1 {
		return lo < hi
	}
	bit := briefHash(b, len(b)) >> m.briefShift
	if m.brief[bit/64]>>(bit%64)&1 == 0 {
		return false
	}
	for lo < hi {
		if mid := (lo + hi) / 2; bytes.Compare(m.texts[mid].b, b) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return int(lo) < len(m.texts) && bytes.HasPrefix(m.texts[lo].b, b)
}
