//go:build unix

package job_test

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/job"
)

// steps is a Source that is not a client.
type steps struct {
	mu      sync.Mutex
	now     *bundle.Bundle
	changed chan struct{}
}

func (s *steps) Bundle() *bundle.Bundle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *steps) Changes(ctx context.Context) iter.Seq[bundle.Diff] {
	return func(yield func(bundle.Diff) bool) {
		for {
			select {
			case <-s.changed:
				if !yield(bundle.Diff{}) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func TestSource(t *testing.T) {
	s := &steps{now: bundleOf(secret("A", "first-value")), changed: make(chan struct{})}
	j := job.Job{Client: s, Path: "sh", Secrets: []string{"A"}, OnRotate: job.Restart, RestartDelay: 1, Logger: quiet}
	j.Args = []string{"-c", `trap 'exit 0' TERM; echo "$A"; [ "$A" = second-value ] && exit 9; echo ready; until read line; do :; done`}
	r := begin(t, j)
	r.await(t, "ready")
	s.mu.Lock()
	s.now = bundleOf(secret("A", "second-value"))
	s.mu.Unlock()
	s.changed <- struct{}{}
	require.Equal(t, 9, r.ends(t))
	require.Equal(t, "[A]\nready\n[A]\n", r.String(), "a job needs only the two methods of a Source")
}

func TestJob_Logger(t *testing.T) {
	c, _ := jobClient(t, secret("PIN", "1234"))
	var own, standard transcript
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	slog.SetDefault(logTo(&standard))

	j := shell(c, "true", nil, "PIN")
	j.Logger = logTo(&own)
	runs(t, j)
	require.Contains(t, own.String(), "secret=PIN")
	require.Empty(t, standard.String())

	j.Logger = nil
	runs(t, j)
	require.Contains(t, standard.String(), "secret=PIN", "the default is slog.Default")
}
