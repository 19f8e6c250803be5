//go:build unix

package job_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/job"
)

// transcript records the output of a job.
type transcript struct{ leaktest.Output }

// await waits until the job has printed text.
func (o *transcript) await(t *testing.T, text string) {
	t.Helper()
	leaktest.Eventually(t, "the job prints "+text, func() bool { return strings.Contains(o.String(), text) })
}

// between returns the part of the output between start and end.
func (o *transcript) between(start, end string) string {
	_, rest, _ := strings.Cut(o.String(), start)
	part, _, _ := strings.Cut(rest, end)
	return part
}

// shell returns a job that runs an sh script with secrets of client.
func shell(client *satchel.Client, script string, out io.Writer, secrets ...string) job.Job {
	return job.Job{Client: client, Path: "sh", Args: []string{"-c", script}, Secrets: secrets, Stdout: out, Stderr: out, Logger: quiet}
}

// source is a provider in memory.
type source struct{ now atomic.Pointer[bundle.Bundle] }

func newSource(secrets ...bundle.Secret) *source {
	s := new(source)
	s.now.Store(bundleOf(secrets...))
	return s
}

func (s *source) String() string { return "s" }

func (s *source) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
	return s.now.Load(), nil
}

// secret returns a secret with an origin that tests can recognize.
func secret(name, value string) bundle.Secret {
	return bundle.Secret{Name: name, Value: bundle.NewValue(value), Origin: bundle.Origin{Provider: "test", Location: value + "-place"}}
}

func bundleOf(secrets ...bundle.Secret) *bundle.Bundle {
	b, err := bundle.New(secrets, nil)
	if err != nil {
		panic(err)
	}
	return b
}

var quiet = slog.New(slog.DiscardHandler)

// logTo returns a logger that writes to w.
func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// jobClient returns a client with secrets, and their source.
func jobClient(t *testing.T, secrets ...bundle.Secret) (*satchel.Client, *source) {
	t.Helper()
	s := newSource(secrets...)
	c, err := satchel.New(t.Context(), []bundle.Provider{s}, &satchel.Options{Logger: quiet})
	require.NoError(t, err)
	return c, s
}

// refreshTo sets the source to b and refreshes the client. It ignores the end of the
// test's context: a test may end as soon as it sees the change, which must not cut
// the refresh off.
func refreshTo(t *testing.T, c *satchel.Client, s *source, b *bundle.Bundle) {
	t.Helper()
	s.now.Store(b)
	if _, err := c.Refresh(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// running is a job that runs in the background.
type running struct {
	*transcript
	stdin  *os.File // our end of the job's stdin, closed at the end of the test
	cancel context.CancelFunc
	done   chan struct{}
	code   int
	err    error
}

// begin starts a job whose output is in the transcript and whose stdin is a pipe.
func begin(t *testing.T, j job.Job) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	theirs, ours, err := os.Pipe()
	require.NoError(t, err)
	r := &running{transcript: new(transcript), stdin: ours, cancel: cancel, done: make(chan struct{})}
	j.Stdin, j.Stdout, j.Stderr = theirs, r, r
	go func() {
		defer close(r.done)
		defer func() { _ = theirs.Close() }()
		r.code, r.err = j.Run(ctx)
	}()
	t.Cleanup(func() {
		_ = ours.Close()
		cancel()
		<-r.done
	})
	return r
}

// say writes a line to the job's stdin.
func (r *running) say(t *testing.T, line string) {
	t.Helper()
	_, err := r.stdin.WriteString(line + "\n")
	require.NoError(t, err)
}

// ends waits for the end of the job, which must have run, and returns its code.
func (r *running) ends(t *testing.T) int {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		t.Fatalf("the job does not end; its output: %s", r)
	}
	require.NoError(t, r.err)
	return r.code
}

// runs runs a job that must run, and returns its code and output.
func runs(t *testing.T, j job.Job) (int, string) {
	t.Helper()
	var out transcript
	j.Stdout, j.Stderr = &out, &out
	code, err := j.Run(t.Context())
	require.NoError(t, err, "the job must run")
	return code, out.String()
}

// refused runs a job that must be refused, and returns the error.
func refused(t *testing.T, j job.Job) string {
	t.Helper()
	var out transcript
	j.Stdout, j.Stderr = &out, &out
	code, err := j.Run(t.Context())
	require.Error(t, err, "the job must be refused")
	require.Equal(t, -1, code)
	require.Empty(t, out.String(), "the program must not run")
	return err.Error()
}

func atoi(t *testing.T, number string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(number))
	require.NoError(t, err)
	return n
}

// alive reports whether the process with that PID, which a job printed, is running.
func alive(t *testing.T, number string) bool {
	t.Helper()
	return isAlive(atoi(t, number))
}
