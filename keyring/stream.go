package keyring

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"strconv"
)

const (
	// streamChunk is how many bytes of plaintext each chunk of a stream has,
	// except the last.
	streamChunk = 64 << 10
	// maxStreamChunks is how many messages one group may have.
	maxStreamChunks = 1 << 32
)

var errStreamClosed = errors.New("sealing stream: the stream is closed")

// SealStream returns a writer that seals a stream of any length to w, for data
// that is too long for one message. The stream opens only in this group and
// under the context c, with [Group.OpenStream]. Give each stream of a group a
// context of its own: chunks of two streams under one context can be exchanged
// without notice.
//
// The plaintext is cut into chunks of 64 KiB, except the last, which is shorter
// or empty. Each chunk is a message of the group, after its length in 32 bits,
// under c and two more pairs: "chunk", its number from 0, and "last", "true" or
// "false". A c that has one of these keys, or has no room for them within the
// limits of a [Context], is refused with a [*ContextError]. A stream of the
// group counts as many messages as it has chunks, and has at most 2^32.
//
// Close writes the last chunk; without it, what was written is a truncated
// stream. It neither closes w nor destroys the data key. Write and Close return
// the errors of w, and [ErrKeyState] after Destroy; after an error, every call
// returns that error. Write after Close fails, and a second Close does nothing.
//
// The writer keeps up to 64 KiB of plaintext until it is sealed. It is not safe
// for concurrent use; several streams of one group may be sealed side by side.
func (g *Group) SealStream(w io.Writer, c Context) (io.WriteCloser, error) {
	c, err := streamContext(c)
	if err != nil {
		return nil, fmt.Errorf("sealing stream: %w", err)
	}
	if err := g.alive(); err != nil {
		return nil, fmt.Errorf("sealing stream: %w", err)
	}
	return &streamWriter{w: w, group: g, context: c, plain: make([]byte, 0, streamChunk)}, nil
}

// OpenStream returns a reader of the plaintext of a stream that
// [Group.SealStream] sealed in this group under the same context. The stream is
// all that is left in r; the reader reads ahead in r, and does not close it.
//
// Every byte that Read returns was authenticated at its place in the stream.
// Whether the stream is complete is known only at its end: until Read has
// returned [io.EOF], the caller must not act on the plaintext in a way that it
// cannot undo.
//
// Read returns [ErrTampered] for a stream that was truncated or edited, whose
// chunks were reordered, repeated or left out, which is followed by other bytes,
// or which was sealed under another context; [ErrMalformed] for bytes that are
// no chunk; [ErrNoKey] for a stream under another data key; [ErrKeyState] after
// Destroy; and the errors of r as they are. After an error, every call returns
// that error.
//
// The reader keeps one chunk in memory. It is not safe for concurrent use.
func (g *Group) OpenStream(r io.Reader, c Context) (io.Reader, error) {
	c, err := streamContext(c)
	if err != nil {
		return nil, fmt.Errorf("opening stream: %w", err)
	}
	if err := g.alive(); err != nil {
		return nil, fmt.Errorf("opening stream: %w", err)
	}
	return &streamReader{r: bufio.NewReader(r), group: g, context: c}, nil
}

// streamContext returns a copy of c for the chunks of a stream. It refuses a
// context that would break a limit in any of them.
func streamContext(c Context) (Context, error) {
	for _, key := range []string{"chunk", "last"} {
		if _, ok := c[key]; ok {
			return nil, &ContextError{Key: key, Problem: "a stream sets this key itself"}
		}
	}
	chunks := maps.Clone(c)
	if chunks == nil {
		chunks = Context{}
	}
	chunks.setChunk(math.MaxUint32, false)
	if _, err := chunks.Encode(); err != nil {
		return nil, err
	}
	return chunks, nil
}

// setChunk makes c the context of a chunk.
func (c Context) setChunk(number uint64, last bool) {
	c["chunk"], c["last"] = strconv.FormatUint(number, 10), strconv.FormatBool(last)
}

type streamWriter struct {
	w       io.Writer
	group   *Group
	context Context
	chunk   uint64
	plain   []byte // of the next chunk; full only if it may be the last
	sealed  []byte // its length and message, reused
	closed  bool
	err     error
}

func (s *streamWriter) Write(p []byte) (n int, err error) {
	if s.closed && s.err == nil {
		return 0, errStreamClosed
	}
	for s.err == nil && n < len(p) {
		if len(s.plain) == streamChunk {
			s.flush(false)
			continue
		}
		part := p[n:min(len(p), n+streamChunk-len(s.plain))]
		s.plain = append(s.plain, part...)
		n += len(part)
	}
	return n, s.err
}

func (s *streamWriter) Close() error {
	if !s.closed && s.err == nil {
		s.flush(true)
	}
	s.closed = true
	return s.err
}

// flush seals a chunk of all that waits, and writes it.
func (s *streamWriter) flush(last bool) {
	if err := s.write(last); err != nil {
		s.err = fmt.Errorf("sealing stream: %w", err)
	}
	clear(s.plain)
	s.plain = s.plain[:0]
}

func (s *streamWriter) write(last bool) error {
	if s.chunk >= maxStreamChunks {
		return fmt.Errorf("%w: more than %d chunks", ErrMalformed, uint64(maxStreamChunks))
	}
	s.context.setChunk(s.chunk, last)
	sealed, err := s.group.Seal(append(s.sealed[:0], 0, 0, 0, 0), s.plain, s.context)
	if err != nil {
		return err
	}
	s.chunk++
	s.sealed = sealed
	binary.BigEndian.PutUint32(sealed, uint32(len(sealed)-4))
	n, err := s.w.Write(sealed)
	if err == nil && n < len(sealed) {
		err = io.ErrShortWrite
	}
	return err
}

type streamReader struct {
	r       *bufio.Reader
	group   *Group
	context Context
	chunk   uint64
	message []byte // reused
	plain   []byte // what is left of the chunk in buffer
	buffer  []byte // reused
	err     error
}

func (s *streamReader) Read(p []byte) (int, error) {
	for len(s.plain) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		last, err := s.next()
		switch {
		case err != nil:
			s.err = fmt.Errorf("opening stream: %w", err)
		case last:
			s.err = io.EOF // once the plaintext has been read
		}
	}
	n := copy(p, s.plain)
	s.plain = s.plain[n:]
	return n, nil
}

// next opens the next chunk, and reports whether it is the last.
func (s *streamReader) next() (last bool, err error) {
	var size [4]byte
	if _, err := io.ReadFull(s.r, size[:]); err != nil {
		return false, truncated(err, "the last chunk is missing")
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > streamChunk+Overhead {
		return false, fmt.Errorf("%w: chunk %d is too long", ErrMalformed, s.chunk)
	}
	if s.message == nil {
		s.message = make([]byte, streamChunk+Overhead)
	}
	message := s.message[:n]
	if _, err := io.ReadFull(s.r, message); err != nil {
		return false, truncated(err, fmt.Sprintf("chunk %d is incomplete", s.chunk))
	}
	// The context of the chunk has to agree.
	_, err = s.r.Peek(1)
	last = errors.Is(err, io.EOF)
	if err != nil && !last {
		return false, err
	}
	s.context.setChunk(s.chunk, last)
	plain, err := s.group.Open(s.buffer[:0], message, s.context)
	if err != nil {
		return false, fmt.Errorf("chunk %d: %w", s.chunk, err)
	}
	s.chunk++
	s.plain, s.buffer = plain, plain
	return last, nil
}

// truncated returns the error for a stream that ends too early, or that of the
// reader if it is another one.
func truncated(err error, detail string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the stream is truncated: %s", ErrTampered, detail)
	}
	return err
}
