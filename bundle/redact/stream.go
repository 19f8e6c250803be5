package redact

// A stream masks one stream of bytes, piece by piece. It holds back bytes that
// could begin a match.
type stream struct {
	m *matcher
	// buf[start:] is held back.
	buf   []byte
	start int
	// covered is the number of held-back bytes at the start that a marker in the
	// output already replaces.
	covered int
	front   front
	out     []byte
	in      []byte // of matcher.mask
	// offset is the position in the stream of the first held-back byte.
	offset uint64
	sums   inputSums
}

// A front is the state of the match that may begin at the first held-back byte. It
// avoids comparing the match from its beginning with every piece.
type front struct {
	size   int // the number of bytes compared, or 0 if there is no state
	lo, hi int // the longer texts that begin with those bytes
	best   int // the longest text that is a prefix of those bytes, or -1
}

func (s *stream) held() int { return len(s.buf) - s.start }

// feed processes the next bytes of the stream and returns the output that is
// certain. With final it holds nothing back. The result is valid until the next
// call and while p is; feed does not change p.
func (s *stream) feed(m *matcher, p []byte, final bool) []byte {
	if m != s.m {
		s.m, s.front = m, front{}
	}
	data, own := p, s.held() > 0
	if own {
		s.makeRoom(len(p))
		s.buf = append(s.buf, p...)
		data = s.buf[s.start:]
	}
	out, rest := s.scan(data, final)
	if own {
		s.start = len(s.buf) - rest
	} else {
		s.buf, s.start = append(s.buf[:0], data[len(data)-rest:]...), 0
	}
	base := s.offset
	s.offset += uint64(len(data) - rest)
	switch {
	case rest == 0:
		s.sums.sums = s.sums.sums[:0]
	case len(s.sums.sums) > 0:
		s.sums.seek(s.offset, base, data) // while the bytes before it are available
	}
	return out
}

// once masks all of data on a stream that holds nothing back, and reports whether
// there was a match.
func (s *stream) once(m *matcher, data []byte) (out []byte, changed bool) {
	out = s.feed(m, data, true)
	return out, len(s.out) > 0
}

// makeRoom moves the held-back bytes to the start of the buffer before it must
// grow, unless that frees too little.
func (s *stream) makeRoom(n int) {
	if len(s.buf)+n > cap(s.buf) && s.start >= len(s.buf)/2 {
		s.buf, s.start = append(s.buf[:0], s.buf[s.start:]...), 0
	}
}

// scan returns the output for data, and the number of bytes at its end that are
// held back. It sets front and covered for these bytes.
func (s *stream) scan(data []byte, final bool) (out []byte, rest int) {
	var (
		m     = s.m
		ready = s.covered // all bytes before it are in the output or replaced by a marker
		end   = s.covered // the end of the bytes that the last marker replaces
		seek  = seeker{token: -1}
		at    int
	)
	s.out = s.out[:0]
	for ; ; at++ {
		known := s.front
		s.front = front{}
		if known.size == 0 {
			if at = m.next(data, at, &seek); at == len(data) {
				break
			}
			if len(data)-at < minForm {
				if final {
					continue
				}
				break
			}
			known.size, known.best = minForm, -1
			known.lo, known.hi = m.group(data[at:])
		}
		known = s.narrow(data, at, known)
		var token tokenMatch
		if tokenStart[data[at]] {
			token = matchToken(data[at:])
		}
		if (known.lo < known.hi || token.more) && !final {
			s.front = known
			break
		}
		size, marker := m.longest(known.best, token)
		if size > 0 {
			if at >= end { // else it overlaps the previous match
				s.out = append(append(s.out, data[ready:at]...), marker...)
			}
			end = max(end, at+size)
			ready = end
		}
	}
	s.covered = max(0, end-at)
	out = s.out
	if ready < at {
		if len(out) == 0 {
			out = data[ready:at]
		} else {
			s.out = append(out, data[ready:at]...)
			out = s.out
		}
	}
	return out, len(data) - at
}

// longest returns the size and the marker of the longer one of text i, or none if i is
// -1, and a token, or a size of 0.
func (m *matcher) longest(i int, token tokenMatch) (size int, marker []byte) {
	if i >= 0 {
		t := &m.texts[i]
		size, marker = len(t.b), m.markers[t.marker]
	}
	if token.size > size {
		return token.size, m.tokens[token.kind]
	}
	return size, marker
}

// narrow compares the rest of data[at:], of which known.size bytes have been
// compared, with the texts.
func (s *stream) narrow(data []byte, at int, known front) front {
	texts, size := s.m.texts, len(data)-at
	lo, hi := known.lo, known.hi
	under, over := 0, -1 // the lengths of the prefixes that texts lo-1 and hi share with data[at:]
	for lo < hi {
		mid := (lo + hi) / 2
		b := texts[mid].b
		n := s.common(data, at, mid, known.size)
		if n == len(b) || n < size && b[n] < data[at+n] {
			lo, under = mid+1, n
		} else {
			hi, over = mid, n
		}
	}
	if lo > known.lo {
		if i := s.m.upTo(under, int32(lo-1)); i >= 0 {
			known.best = int(i)
		}
	}
	last := lo // the end of the texts that begin with all of data[at:]
	if over == size {
		last++
		for more := known.hi; last < more; {
			if mid := (last + more) / 2; s.common(data, at, mid, known.size) == size {
				last = mid + 1
			} else {
				more = mid
			}
		}
	}
	return front{size: size, lo: lo, hi: last, best: known.best}
}

// common returns the length of the common prefix of data[at:] and text i. The first
// have bytes are known to agree.
func (s *stream) common(data []byte, at, i, have int) int {
	b := s.m.texts[i].b
	x := data[at:]
	n, direct := min(len(x), len(b)), s.m.long.direct
	stop := min(n, have+direct)
	got := have + agree(x[have:stop], b[have:stop])
	if got < stop || got == n {
		return got
	}
	if n-got > direct {
		got = s.m.long.agreeBySums(&s.sums, s.offset+uint64(at), s.offset, data, i, b, got)
	}
	return got + agree(x[got:n], b[got:n])
}
