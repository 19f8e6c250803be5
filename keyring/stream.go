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
	// streamChunk is the length of the plaintext of a chunk in bytes. The last chunk
	// may be shorter.
	streamChunk = 64 << 10
	// maxStreamChunks is the maximum number of messages in a group.
	maxStreamChunks = 1 << 32
)

var errStreamClosed = errors.New("sealing stream: the stream is closed")

// SealStream returns a writer that seals a stream of any length to w, for data that
// is too long for one message. [Group.OpenStream] opens the stream in this group
// under the same context c. Use a different context for each stream of a group:
// swapping chunks between two streams under the same context cannot be detected.
//
// The stream is a sequence of chunks (docs/format.md, "Streams"). The plaintext is
// cut every 64 KiB; the last chunk may be shorter, and is empty only if the plaintext
// is. Each chunk is a 32-bit length and a message of the group under c with two
// additional pairs: "chunk", its number from 0, and "last", "true" or "false". If c
// contains one of these keys, or exceeds the limits of a [Context] with them, the
// error wraps a [*ContextError]; after Destroy it wraps [ErrKeyState]. Each chunk
// counts as a message of the group. A stream has at most 2^32 chunks.
//
// Close writes the last chunk; without it the stream is truncated. It neither closes
// w nor destroys the data key. Write and Close return the errors of w, and
// [ErrKeyState] after Destroy. After an error, every call returns that error. Write
// after Close fails; a second Close does nothing.
//
// The writer buffers up to 64 KiB of plaintext. It is not safe for concurrent use,
// but several streams of one group may be sealed concurrently.
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

// OpenStream returns a reader for the plaintext of a stream that [Group.SealStream]
// sealed in this group under the same context. The stream must extend to the end of
// r. The reader reads ahead in r and does not close it. The error wraps a
// [*ContextError] if c is invalid for a stream, and [ErrKeyState] after Destroy.
//
// Read authenticates every byte and its position in the stream before it returns the
// byte. It detects a truncated stream only at the end: until Read returns [io.EOF],
// do nothing with the plaintext that cannot be undone.
//
// An error of Read wraps [ErrTampered] for a stream that was truncated or edited, has
// reordered, repeated or missing chunks or trailing bytes, or was sealed under another
// context; [ErrMalformed] for an invalid chunk; [ErrNoKey] for a stream under another
// data key; [ErrKeyState] after Destroy; and otherwise the error of r. After an error,
// every call returns that error.
//
// The reader buffers one chunk. It is not safe for concurrent use.
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

// streamContext returns a copy of c for the chunks of a stream. It fails if the
// context of a chunk would exceed a limit.
func streamContext(c Context) (Context, error) {
	for _, key := range []string{"chunk", "last"} {
		if _, ok := c[key]; ok {
			return nil, &ContextError{Key: key, Problem: "the key is reserved for streams"}
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

// setChunk turns c into the context of a chunk.
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

// flush seals the buffered plaintext as a chunk and writes it.
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
	plain   []byte // the unread part of buffer
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

// next opens the next chunk and reports whether it is the last.
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
	// The context of the chunk must agree.
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

// truncated returns the error for a stream that ends too early. Other errors of the
// reader pass through.
func truncated(err error, detail string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the stream is truncated: %s", ErrTampered, detail)
	}
	return err
}
