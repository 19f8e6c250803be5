// Package leaktest has what tests need that look for leftovers of what they ran.
package leaktest

import (
	"os"
	"runtime"
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

// Eventually polls done until it returns true. It fails the test with the message
// what after 20 seconds.
func Eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for begin := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		require.Less(t, time.Since(begin), 20*time.Second, what)
	}
}
