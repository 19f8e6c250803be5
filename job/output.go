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

// stream masks one of a job's streams, for all its processes. Its writer is
// nil if the output is dropped.
type stream struct {
	name string
	*redact.Writer
}

func (s stream) failed(err error) error {
	return fmt.Errorf("passing on the job's %s: %w", s.name, err)
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

// sameWriter reports whether v and w are one writer. Values that cannot be compared
// are not.
func sameWriter(v, w io.Writer) bool {
	return w != nil && reflect.ValueOf(v).Comparable() && reflect.ValueOf(w).Comparable() && v == w
}

// oneAtATime is a writer of which there are several.
type oneAtATime struct {
	mu *sync.Mutex
	w  io.Writer
}

func (o *oneAtATime) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// maxPipe is as much as a pipe holds, on any system as it is set up.
const maxPipe = 1 << 20

// pipe passes on what one process writes to one stream.
type pipe struct {
	stream stream
	r      *os.File
	done   chan struct{} // closed at the end of the output
	err    error         // of passing it on; set before done is closed
}

// newPipe returns a pipe that is being read, and the end for the process.
func newPipe(s stream) (*pipe, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("making a pipe for the job's %s: %w", s.name, err)
	}
	p := &pipe{stream: s, r: r, done: make(chan struct{})}
	go p.copy()
	return p, w, nil
}

func (p *pipe) copy() {
	defer close(p.done)
	err := p.pass(-1, 0)
	if errors.Is(err, errCut) {
		err = p.pass(maxPipe, 10*time.Millisecond)
	}
	if err != nil && !errors.Is(err, errCut) {
		p.err = p.stream.failed(err)
	}
	_ = p.r.Close() // nothing is lost: it was only read
}

// errCut says that nothing came before the deadline, or that there was no time.
var errCut = errors.New("the pipe was cut")

// pass passes on what comes until the end, or about limit bytes if that is not
// negative. With a patience it does not wait any longer than that.
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

// cut ends the copying although somebody still has the other end, once what is in
// the pipe has been passed on.
func (p *pipe) cut() {
	if p.r.SetReadDeadline(time.Unix(1, 0)) != nil {
		_ = p.r.Close() // a system without deadlines for pipes: what is in it is lost
	}
}
