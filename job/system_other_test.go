//go:build unix && !linux

package job_test

import (
	"testing"

	"github.com/satchelhq/satchel/internal/testenv"
)

// systemLimit skips the test: the rule for the limit is known for Linux only.
func systemLimit(t *testing.T) int {
	t.Helper()
	testenv.Lacks(t, "the limit of execve is only known for Linux: run the full tests there")
	return 0
}

// inMemory returns true: only Linux needs files in memory.
func inMemory(*testing.T, string) bool { return true }
