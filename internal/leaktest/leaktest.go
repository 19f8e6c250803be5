// Package leaktest helps tests find leaks: open files and secret values.
package leaktest

import (
	"bytes"
	"os"
	"regexp"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/testenv"
)

// OpenFiles returns the number of open file descriptors of this process. On Windows,
// where they cannot be counted, it ends the test as [testenv.Lacks] does.
func OpenFiles(t *testing.T) int {
	t.Helper()
	if runtime.GOOS == "windows" {
		testenv.Lacks(t, "no /dev/fd to count open files: run the full tests on Linux")
	}
	files, err := os.ReadDir("/dev/fd")
	require.NoError(t, err)
	return len(files)
}

// Eventually polls done until it returns true. It fails the test after 20 seconds,
// with what as the message.
func Eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for begin := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		require.Less(t, time.Since(begin), 20*time.Second, what)
	}
}

// Output is a writer that keeps its input, such as the output or the log of the code
// under test. It is safe for concurrent use. The zero value is empty. It must not be
// copied after first use.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write adds p. It never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String returns all input so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// tester is the part of a test that NoCanary uses.
type tester interface {
	require.TestingT
	Helper()
}

// token is the beginning of a runner token.
var token = regexp.MustCompile(`rnt_[0-9A-Za-z]{20}`)

// NoCanary fails the test if text contains one of canaries, the first 16 bytes of a
// longer one, or a runner token. about names the source of text in the failure message.
func NoCanary(t tester, text, about string, canaries ...string) {
	t.Helper()
	for _, canary := range canaries {
		require.NotContains(t, text, canary[:min(16, len(canary))], "%s shows a value", about)
	}
	require.NotRegexp(t, token, text, "%s shows a runner token", about)
}
