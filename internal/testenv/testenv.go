// Package testenv reads the environment variables that control the module's tests.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

const (
	// Full is the variable that, set to 1, makes tests fail instead of skip if the
	// machine lacks a prerequisite.
	Full = "SATCHEL_TEST_FULL"
	// Large is the variable that, set to 1, runs load tests at full size.
	Large = "SATCHEL_TEST_LARGE"
)

// Lacks ends t because the machine lacks a prerequisite of the test: it skips t, or
// fails it if [Full] is 1. The message names the prerequisite and how to get it.
func Lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(Full) == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Program returns the path of a program that the test runs. If the program is not
// installed, it ends t as [Lacks] does.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Lacks(t, "this test needs %s, which is not installed: %v", name, err)
	}
	return path
}

// IsLarge reports whether load tests run at full size.
func IsLarge() bool { return os.Getenv(Large) == "1" }
