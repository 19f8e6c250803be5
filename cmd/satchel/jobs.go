package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// task is a job as it is asked for.
type task struct {
	Name    string            `json:"name"`
	Command []string          `json:"command"`
	Secrets []string          `json:"secrets"`
	Env     map[string]string `json:"env"`
	Dir     string            `json:"dir"`
	// OnRotate is what happens when a secret of the job changes while it runs:
	// "leave", "restart" or the name of a signal. Default: leave.
	OnRotate string `json:"on_rotate"`
}

// maxTask is the size of the longest job that is read, in bytes.
const maxTask = 1 << 20

func parseTask(src []byte) (task, error) {
	var t task
	decoder := json.NewDecoder(bytes.NewReader(src))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&t)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = errors.New("there is something behind it; want one object alone")
		}
	}
	if err != nil {
		return t, fmt.Errorf("the job cannot be read: %w; `satchel serve --help` has an example", inJobs(err))
	}
	if len(t.Command) == 0 || t.Command[0] == "" {
		return t, errors.New(`the job has no command; write "command": ["make", "deploy"]`)
	}
	_, err = onRotate(t.OnRotate)
	return t, err
}

// wantedOf says what the fields of a job are.
var wantedOf = map[string]string{
	"name":      `a string such as "nightly"`,
	"command":   `a list of strings such as ["make", "deploy"]`,
	"secrets":   `a list of names such as ["DEPLOY_TOKEN"]`,
	"env":       `an object of strings such as {"STAGE": "test"}`,
	"dir":       `a string such as "/srv/app"`,
	"on_rotate": `a string: "leave", "restart" or the name of a signal`,
}

// inJobs puts what a job is where package json speaks of Go.
func inJobs(err error) error {
	unknown, isUnknown := strings.CutPrefix(err.Error(), "json: unknown field ")
	mismatch, isMismatch := errors.AsType[*json.UnmarshalTypeError](err)
	malformed, isMalformed := errors.AsType[*json.SyntaxError](err)
	switch {
	case isUnknown:
		return errors.New("unknown field " + unknown + nearest(strings.Trim(unknown, `"`), slices.Sorted(maps.Keys(wantedOf))))
	case isMismatch && mismatch.Field == "":
		return fmt.Errorf("it is of the type %s; want an object", mismatch.Value)
	case isMismatch:
		return fmt.Errorf("%q is wrong; want %s", mismatch.Field, wantedOf[mismatch.Field])
	case isMalformed:
		return fmt.Errorf("it is no JSON, at byte %d: %w", malformed.Offset, err)
	case errors.Is(err, io.EOF):
		return errors.New("it is empty; want an object")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early")
	}
	return err
}

// assignment is a job that a worker has taken.
type assignment struct {
	name string
	task task
	err  error     // why it cannot be run at all
	out  io.Writer // its output, masked; nil means the pool's
	// done keeps the result.
	done func(result) error
}

// result is how a job ended.
type result struct {
	Code    int       `json:"code"`
	Error   string    `json:"error,omitempty"`
	Started time.Time `json:"started_at"`
	Ended   time.Time `json:"ended_at"`
}

// source is where jobs come from. next waits for one, and fails with io.EOF when
// there are no more.
type source interface {
	next(ctx context.Context) (*assignment, error)
	close()
}

// input is the source of the jobs on the program's input.
type input struct {
	lines  chan []byte // closed when the input ends
	failed error       // why it ended, if not as it should; for after that
	closed chan struct{}
	count  atomic.Int64
}

// newInput starts to read lines. The reader ends with the input, or with the
// line that comes after close.
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
			in.failed = fmt.Errorf("reading jobs: a line has more than %d bytes", maxTask)
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

// printLine prints v as one line of JSON.
func printLine(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
