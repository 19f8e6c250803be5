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

// OpenFiles returns how many file descriptors this process has open. It skips the
// test on Windows, where they cannot be counted.
func OpenFiles(t *testing.T) int {
	t.Helper()
	if runtime.GOOS == "windows" {
		testenv.Lacks(t, "there is no /dev/fd to count open files in: run the full tests on Linux")
	}
	files, err := os.ReadDir("/dev/fd")
	require.NoError(t, err)
	return len(files)
}

// Eventually waits until done returns true, for at most 20 seconds.
func Eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for begin := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		require.Less(t, time.Since(begin), 20*time.Second, what)
	}
}
