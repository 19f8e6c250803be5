package postgrestest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSweep(t *testing.T) {
	parent := t.TempDir()
	used, lock, err := createLocked(parent)
	require.NoError(t, err)
	left, dead, err := createLocked(parent)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(left, "data", "base"), 0o700))
	require.NoError(t, dead.Close())

	starting := filepath.Join(parent, prefix+"starting") // a process that has no lock yet
	require.NoError(t, os.Mkdir(starting, 0o700))
	other := filepath.Join(parent, "other")
	require.NoError(t, os.Mkdir(other, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(other, "lock"), nil, 0o600))
	linked := filepath.Join(parent, prefix+"linked")
	require.NoError(t, os.Symlink(other, linked))
	pipe := filepath.Join(parent, prefix+"pipe")
	require.NoError(t, os.Mkdir(pipe, 0o700))
	require.NoError(t, syscall.Mkfifo(filepath.Join(pipe, "lock"), 0o600)) // opening it to read blocks

	if os.Geteuid() == 0 {
		foreign, free, err := createLocked(parent)
		require.NoError(t, err)
		require.NoError(t, free.Close())
		require.NoError(t, os.Chown(filepath.Join(foreign, "lock"), 65534, 65534))
		defer func() { require.DirExists(t, foreign, "files of another user stay") }()
	}

	sweep(parent)
	require.NoDirExists(t, left, "its process has ended")
	require.DirExists(t, used, "its process is running")
	require.DirExists(t, starting)
	require.FileExists(t, filepath.Join(other, "lock"), "links are not followed")
	require.NoError(t, lock.Close())
	sweep(parent)
	require.NoDirExists(t, used)
}
