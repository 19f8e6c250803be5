package job

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/satchelhq/satchel/bundle/redact"
)

// stream masks one of a job's output streams, for all its processes. Its writer is
// nil if the output is dropped.
type stream struct {
	name string
	*redact.Writer
}

func (s stream) failed(err error) error {
	return fmt.Errorf("writing the job's %s: %w", s.name, err)
}

// newStreams returns the two streams of a job.
func newStreams(r *redact.Redactor, stdout, stderr io.Writer) [2]stream {
	if stdout != nil && sameWriter(stdout, stderr) {
		var mu sync.Mutex
		stdout, stderr = &oneAtATime{&mu, stdout}, &oneAtATime{&mu, stderr}
	}
	streams := [2]stream{{name: "stdout"}, {name: "stderr"}}
	for i, w := range []io.Writer{stdout, stderr} {
		if w != nil {
			streams[i].Writer = r.Writer(w)
		}
	}
	return streams
}

// sameWriter reports whether v and w are the same writer, and false if they cannot
// be compared.
func sameWriter(v, w io.Writer) bool {
	return w != nil && reflect.ValueOf(v).Comparable() && reflect.ValueOf(w).Comparable() && v == w
}

// oneAtATime serializes the calls of a writer that two streams share.
type oneAtATime struct {
	mu *sync.Mutex
	w  io.Writer
}

func (o *oneAtATime) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// maxPipe is the maximum that a pipe holds, with the default settings of any system.
const maxPipe = 1 << 20

// pipe copies the output of one process to one stream.
type pipe struct {
	stream stream
	r      *os.File
	lost   chan<- struct{}
	done   chan struct{} // closed at the end of the output
	err    error         // of the copying; set before done is closed
}

// newPipe returns a pipe, which copy reads, and the end for the process.
func newPipe(s stream, lost chan<- struct{}) (*pipe, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("creating a pipe for the job's %s: %w", s.name, err)
	}
	p := &pipe{stream: s, r: r, lost: lost, done: make(chan struct{})}
	return p, w, nil
}

// copy passes the output on until it ends. It signals lost, which must have room for
// that, if the output cannot be written.
func (p *pipe) copy() {
	defer close(p.done)
	err := p.pass(-1, 0)
	if errors.Is(err, errCut) {
		err = p.pass(maxPipe, 10*time.Millisecond)
	}
	if err != nil && !errors.Is(err, errCut) {
		p.err = p.stream.failed(err)
		select {
		case p.lost <- struct{}{}:
		default: // it is known already
		}
	}
	// The program's next write fails. The error does not matter for a file that was only
	// read.
	_ = p.r.Close()
}

// errCut means that the deadline passed without output, or that the pipe was closed.
var errCut = errors.New("the pipe was cut")

// pass copies the output to its end, or about limit bytes if limit is not negative.
// If patience is positive, it is the maximum time to wait for each read.
func (p *pipe) pass(limit int, patience time.Duration) error {
	buf := make([]byte, 32<<10)
	for total := 0; limit < 0 || total < limit; {
		if patience > 0 {
			if err := p.r.SetReadDeadline(time.Now().Add(patience)); err != nil {
				return err
			}
		}
		n, err := p.r.Read(buf)
		total += n
		if n > 0 {
			if _, err := p.stream.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
			return errCut
		case err != nil:
			return err
		}
	}
	return nil
}

// cut ends the copying although a process still has the other end, after the content
// of the pipe has been copied.
func (p *pipe) cut() {
	if p.r.SetReadDeadline(time.Unix(1, 0)) != nil {
		_ = p.r.Close() // without deadlines for pipes, the content is lost
	}
}
