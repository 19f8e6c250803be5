package job_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// systemLimit returns the limit of execve in bytes.
func systemLimit(t *testing.T) int {
	t.Helper()
	var stack unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_STACK, &stack))
	return int(max(min(stack.Cur/4, 6<<20), 128<<10))
}

// inMemory reports whether dir is on tmpfs, or /dev/shm is not.
func inMemory(t *testing.T, dir string) bool {
	t.Helper()
	var place, own unix.Statfs_t
	require.NoError(t, unix.Statfs(dir, &own))
	if unix.Statfs("/dev/shm", &place) != nil || place.Type != unix.TMPFS_MAGIC {
		return true
	}
	return own.Type == unix.TMPFS_MAGIC
}
