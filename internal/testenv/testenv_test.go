package testenv

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLacks(t *testing.T) {
	for full, want := range map[string]string{"": "skipped", "0": "skipped", "1": "failed"} {
		t.Run(want+" with "+Full+"="+full, func(t *testing.T) {
			t.Setenv(Full, full)
			require.Equal(t, want, ending(t, func(tb testing.TB) { Lacks(tb, "missing %s", "sh") }))
		})
	}
}

func TestProgram(t *testing.T) {
	t.Setenv(Full, "1")
	require.Equal(t, "failed", ending(t, func(tb testing.TB) { Program(tb, "no-such-program") }))
	t.Setenv(Full, "")
	require.Equal(t, "skipped", ending(t, func(tb testing.TB) { Program(tb, "no-such-program") }))
	require.Equal(t, "continued", ending(t, func(tb testing.TB) { require.FileExists(tb, Program(tb, "go")) }))
}

func TestIsLarge(t *testing.T) {
	t.Setenv(Large, "")
	t.Setenv(Full, "1")
	require.False(t, IsLarge(), "each switch has a separate variable")
	t.Setenv(Large, "1")
	require.True(t, IsLarge())
}

// ending returns the way in which f ends its test.
func ending(t *testing.T, f func(testing.TB)) string {
	v := &verdict{TB: t, ended: "continued"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(v)
	}()
	<-done
	return v.ended
}

// verdict is a test that records how it ended.
type verdict struct {
	testing.TB
	ended string
}

func (v *verdict) Fatalf(string, ...any) { v.end("failed") }
func (v *verdict) Skipf(string, ...any)  { v.end("skipped") }

func (v *verdict) end(how string) {
	v.ended = how
	runtime.Goexit()
}
