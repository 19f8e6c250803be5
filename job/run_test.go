package job

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

func TestSpread(t *testing.T) {
	const delay = 10 * time.Second
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := spread(delay)
		require.GreaterOrEqual(t, d, delay, "the delay is the minimum")
		require.Less(t, d, 2*delay)
		seen[d/time.Second] = true
	}
	require.Len(t, seen, 10, "a thousand restarts spread over the range")
}

// values is a provider of its entries.
type values map[string]string

func (v values) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
	var secrets []bundle.Secret
	for name, value := range v {
		secrets = append(secrets, bundle.Secret{Name: name, Value: bundle.NewValue(value)})
	}
	return bundle.New(secrets, nil)
}

func TestRun_ApplyRotation(t *testing.T) {
	source := values{"A": "first-value", "B": "first-value", "G": "first-value"}
	c, err := satchel.New(t.Context(), []bundle.Provider{source}, &satchel.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	r, err := newRun(t.Context(), Job{Client: c, Path: "program", Secrets: []string{"A"}, OnRotate: Restart})
	require.NoError(t, err)
	require.NoError(t, r.update())
	p := &process{plan: r.plan}
	restarts := func(name, value string) bool {
		source[name] = value
		_, err := c.Refresh(t.Context())
		require.NoError(t, err)
		return r.refresh() && r.applyRotation(p)
	}
	require.False(t, restarts("B", "second-value"), "the secret is not the job's")
	require.False(t, restarts("NEW", "first-value"))
	require.True(t, restarts("A", "second-value"))
	require.True(t, restarts("B", "third-value"), "the process still has the old value of A")
	require.False(t, restarts("A", "first-value"), "a reverted change is not a change")
	delete(source, "A")
	require.False(t, restarts("B", "fourth-value"), "a program is not restarted without a secret")
	require.True(t, restarts("A", "third-value"))
	p.forwarded = time.Now().Add(-time.Hour)
	require.False(t, restarts("A", "fourth-value"), "after SIGTERM the job is not restarted, however long it takes to end")
}

func TestRun_Lookup(t *testing.T) {
	source := values{"A": "first-value"}
	c, err := satchel.New(t.Context(), []bundle.Provider{source}, &satchel.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	r, err := newRun(t.Context(), Job{Client: c, Path: "program", Secrets: []string{"A"}})
	require.NoError(t, err)
	require.NoError(t, r.update())
	source["A"] = "second-value"
	_, err = c.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, "second-value", r.redactor.String("second-value"), "the new value is not masked before the job gets it")
	s, ok := r.lookup("A")
	require.True(t, ok)
	require.Equal(t, "second-value", s.Value.Reveal())
	require.Equal(t, "[A] [A]", r.redactor.String("second-value first-value"))
}
