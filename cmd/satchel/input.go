package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// input is the source of jobs on standard input.
type input struct {
	lines  chan []byte // closed when the input ends
	failed error       // the read error, if any; read it after lines is closed
	closed chan struct{}
	count  atomic.Int64
}

// newInput starts a goroutine that reads lines. It ends with the input, or with the
// next line after close.
func newInput(r io.Reader) *input {
	in := &input{lines: make(chan []byte), closed: make(chan struct{})}
	go func() {
		defer close(in.lines)
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, maxTask)
		for scanner.Scan() {
			if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
				continue
			}
			select {
			case in.lines <- bytes.Clone(scanner.Bytes()):
			case <-in.closed:
				return
			}
		}
		if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
			in.failed = fmt.Errorf("reading jobs: a line is longer than %d bytes", maxTask)
		} else if err != nil {
			in.failed = fmt.Errorf("reading jobs: %w", err)
		}
	}()
	return in
}

func (in *input) next(ctx context.Context) (*assignment, error) {
	select {
	case line, ok := <-in.lines:
		if !ok {
			return nil, cmp.Or(in.failed, io.EOF)
		}
		t, err := parseTask(line)
		name := t.Name
		if name == "" {
			name = fmt.Sprintf("job-%d", in.count.Add(1))
		}
		return &assignment{name: name, task: t, err: err, done: func(result) error { return nil }}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (in *input) close() { close(in.closed) }
