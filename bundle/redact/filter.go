package redact

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// A filter finds the positions at which a text may begin without looking at every
// byte. Each of its texts has at least width bytes. The filter contains every
// sequence of gram bytes at any offset within the first width bytes of a text. It
// therefore suffices to look up one such sequence per stride positions: if a text
// begins at one of the stride positions before it, the filter contains it.
type filter struct {
	bits   []uint64
	mask   uint64 // of the gram bytes in a word
	lead   int    // the last offset of a sequence: width - gram
	stride int    // lead + 1
}

const (
	maxGram = 8
	// maxWidth bounds the sequences that a filter keeps of a text.
	maxWidth = 32
	// The table of a filter has 4 KiB to 2 MiB; these are logarithms of the
	// number of bits. Up to 1 MiB it has at least 32 bits per sequence, then 16.
	minTable, midTable, maxTable = 15, 23, 24
	// block is how far one filter may run ahead of another.
	block = 4096
)

// newFilters returns filters that together cover all texts, and the number of
// bytes after the start of a text that they may read. A text that begins with
// another one is found by that one.
func newFilters(texts []text) (filters []*filter, room int) {
	for _, class := range []struct{ from, to, gram int }{{16, math.MaxInt, 8}, {8, 16, 4}, {minForm, 8, 4}} {
		width := maxWidth
		var members [][]byte
		for _, t := range texts {
			if n := len(t.b); t.parent < 0 && n >= class.from && n < class.to {
				members = append(members, t.b)
				width = min(width, n)
			}
		}
		if len(members) > 0 {
			f := newFilter(members, width, class.gram)
			filters = append(filters, f)
			room = max(room, f.lead+maxGram)
		}
	}
	return filters, room
}

func newFilter(texts [][]byte, width, gram int) *filter {
	f := &filter{lead: width - gram, stride: width - gram + 1, mask: 1<<(8*gram) - 1}
	// A sparse table is better than one that fits into the L1 cache, because
	// every false positive costs time.
	grams := uint(f.stride * len(texts))
	size := max(minTable, min(bits.Len(32*grams), midTable), min(bits.Len(16*grams), maxTable))
	f.bits = make([]uint64, 1<<(size-6))
	for _, t := range texts {
		for i := range f.stride {
			h := scatter(beginning(t[i:], gram))
			f.bits[h>>32&uint64(len(f.bits)-1)] |= 1<<(h&63) | 1<<(h>>6&63)
		}
	}
	return f
}

// find returns the first position in [from, end) at which a text of the filter
// may begin, because at least its first minForm bytes match. It returns end if
// there is no such position.
func (f *filter) find(m *matcher, data []byte, from, end int) int {
	for x := from + f.lead; ; x += f.stride {
		if x = f.skip(data, x, end+f.lead); x >= end+f.lead {
			return end
		}
		for i := max(from, x-f.lead); i < min(x+1, end); i++ {
			if lo, hi := m.group(data[i:]); lo < hi {
				return i
			}
		}
	}
}

// skip returns the first of the positions x, x+stride, … at which data has a
// sequence of the filter, or a number not less than limit.
//
// Nearly all time is spent here. The loop has a function to itself so that all
// its variables are in registers.
func (f *filter) skip(data []byte, x, limit int) int {
	table, mask, stride := f.bits, f.mask, f.stride
	last := uint64(len(table) - 1)
	for ; x < limit; x += stride {
		h := scatter(binary.LittleEndian.Uint64(data[x:]) & mask)
		if word := table[h>>32&last]; word>>(h&63)&1 != 0 && word>>(h>>6&63)&1 != 0 {
			break
		}
	}
	return x
}

// A seeker moves through data from candidate to candidate.
type seeker struct {
	end  int    // of the block
	next [3]int // for each filter: its next candidate in the block, or the end
	// token is the next candidate for a token in the block, or in the rest of data
	// after the last block, or the end. It is -1 at first.
	token int
}

// next returns the first position not before from at which a text may begin, or
// the length of data. Near the end of data, the text may be incomplete.
func (m *matcher) next(data []byte, from int, s *seeker) int {
	safe := len(data) - m.room // the filters need room bytes after a position
	for from < safe {
		if from >= s.end {
			*s = seeker{end: min(from+block, safe), next: [3]int{-1, -1, -1}, token: -1}
		}
		if s.token < from {
			end := s.end
			if end == safe {
				end = len(data) // the search for tokens needs no room
			}
			s.token = findToken(data, from, end)
		}
		nearest := min(s.end, s.token)
		for i, f := range m.filters {
			if s.next[i] < from {
				s.next[i] = f.find(m, data, from, s.end)
			}
			nearest = min(nearest, s.next[i])
		}
		if nearest < s.end {
			return nearest
		}
		from = s.end
	}
	if s.token < from {
		s.token = findToken(data, from, len(data))
	}
	for ; from < s.token; from++ {
		if rest := data[from:]; len(rest) < minForm {
			if m.begins(rest) {
				return from
			}
		} else if lo, hi := m.group(rest); lo < hi {
			return from
		}
	}
	return from
}
