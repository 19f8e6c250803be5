//go:build unix

package atomicfile_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/atomicfile"
)

// TestReplace_Owner gives the file away where the test may; elsewhere it belongs
// to the user of the test, before and after.
func TestReplace_Owner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o600))
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid, gid = 12345, 23456
		require.NoError(t, os.Chown(path, uid, gid))
	}
	require.NoError(t, atomicfile.Replace(path, []byte("two"), nil))
	info, err := os.Stat(path)
	require.NoError(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	require.Equal(t, []int{uid, gid}, []int{int(stat.Uid), int(stat.Gid)})
}
