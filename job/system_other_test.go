//go:build unix && !linux

package job_test

import (
	"os"
	"testing"
)

// systemLimit skips the test: what counts for the limit is known for Linux only.
func systemLimit(t *testing.T) int {
	t.Helper()
	if os.Getenv("SATCHEL_TEST_FULL") == "1" {
		t.Fatal("what counts for the limit of execve is known for Linux only: run the full tests there")
	}
	t.Skip("what counts for the limit of execve is known for Linux only")
	return 0
}

// inMemory is true: a place in memory is asked for on Linux only.
func inMemory(*testing.T, string) bool { return true }
