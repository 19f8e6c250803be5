package redact

import "io"

// reader masks the data of src.
type reader struct {
	src io.Reader
	r   *core
	s   stream
	buf []byte
	out []byte // masked but not read yet
	err error  // of src; returned after out
}

// Reader returns a reader of the masked data of src. It holds back bytes that
// could begin a match until src continues or ends. An error of src is returned
// after all data before it. The reader is not safe for concurrent use.
func (r *Redactor) Reader(src io.Reader) io.Reader {
	c := &reader{src: src, r: r.core(), buf: make([]byte, chunk/2)}
	return readFunc(func(p []byte) (int, error) { return c.read(p) })
}

// readFunc is a closure because a reader holds parts of secrets.
type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func (c *reader) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for idle := 0; len(c.out) == 0; idle++ {
		if c.err != nil {
			return 0, c.err
		}
		if idle == 100 {
			return 0, io.ErrNoProgress
		}
		n, err := c.src.Read(c.buf)
		if n > 0 {
			idle = 0
		}
		c.err = err
		c.out = c.s.feed(c.r.matcher(), c.buf[:n], err != nil)
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}
