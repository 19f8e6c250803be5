//go:build unix

package migrate_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlan_ApplyOwner changes the file's owner if the test runs as root.
func TestPlan_ApplyOwner(t *testing.T) {
	p := newPlatform(t)
	path := write(t, ".env", "A_KEY=hunter2-a\nPORT=1\n")
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid, gid = 12345, 23456
		require.NoError(t, os.Chown(path, uid, gid))
	}
	_, err := plan(t, path, nil).Apply(t.Context(), p.to(), nil)
	require.NoError(t, err)
	require.Equal(t, "PORT=1\n", read(t, path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	stat, ok := info.Sys().(*syscall.Stat_t)
	require.True(t, ok)
	require.Equal(t, []int{uid, gid}, []int{int(stat.Uid), int(stat.Gid)})
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}
