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

// TestReplace_Owner uses a different owner if the test runs as root. Otherwise the
// file belongs to the user of the test, before and after.
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

func TestReplace_OnlyRegularFiles(t *testing.T) {
	folder := t.TempDir()
	pipe, link := filepath.Join(folder, "a"), filepath.Join(folder, "link")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	require.NoError(t, os.Symlink(pipe, link))
	for _, path := range []string{pipe, link} {
		require.ErrorContains(t, atomicfile.Replace(path, []byte("one"), nil), "is not a regular file")
	}
	info, err := os.Stat(pipe)
	require.NoError(t, err)
	require.Equal(t, os.ModeNamedPipe, info.Mode().Type(), "a program may be reading from it")
	requireNames(t, folder, "a", "link")
}

func TestReplace_DanglingLink(t *testing.T) {
	folder := t.TempDir()
	link := filepath.Join(folder, "link")
	require.NoError(t, os.Symlink(filepath.Join(folder, "missing"), link))
	require.NoError(t, atomicfile.Replace(link, []byte("one"), nil))
	requireNames(t, folder, "link")
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.True(t, info.Mode().IsRegular())
}
