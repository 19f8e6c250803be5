//go:build unix

package regularfile

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckPrivate_Owner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	file, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, CheckPrivate(path, file), "the user of the process")
	require.NoError(t, CheckPrivate("x", info{sys: &syscall.Stat_t{Uid: 0}}), "root")
	require.NoError(t, CheckPrivate("x", info{}), "a file system without owners")

	other := uint32(os.Geteuid()) + 1
	err = CheckPrivate("x", info{sys: &syscall.Stat_t{Uid: other}})
	require.ErrorContains(t, err, "x belongs to another user, with uid")
	err = CheckPrivate("x", info{mode: 0o644, sys: &syscall.Stat_t{Uid: 1<<32 - 2}})
	require.ErrorContains(t, err, "with uid 4294967294;")
}

func TestReadPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	content, err := ReadPrivate(path, 8)
	require.NoError(t, err)
	require.Equal(t, "x", string(content))
	require.NoError(t, os.Chmod(path, 0o640))
	_, err = ReadPrivate(path, 8)
	requireFault(t, err, path+" has mode 0640, which allows access by other users; run chmod 600 on it")
	_, err = ReadPrivate(t.TempDir(), 8)
	require.ErrorContains(t, err, "is a directory; use a regular file")
}
