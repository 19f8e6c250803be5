// Package testenv has the switches of the module's tests, one variable each.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

const (
	// Full is the variable that, set to 1, turns each skip for want of something
	// into a failure.
	Full = "SATCHEL_TEST_FULL"
	// Large is the variable that, set to 1, gives load tests their full size.
	Large = "SATCHEL_TEST_LARGE"
)

// Lacks ends t, on a machine that lacks what the test needs: it skips t, or fails
// it if [Full] is set. The message names what is missing and how to get it.
func Lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(Full) == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Program returns the path of a program that the test runs, or ends t as [Lacks]
// does if this machine lacks it.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Lacks(t, "this test needs %s, which is not installed: %v", name, err)
	}
	return path
}

// IsLarge reports whether load tests run in their full size.
func IsLarge() bool { return os.Getenv(Large) == "1" }
