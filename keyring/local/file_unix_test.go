//go:build linux || darwin

package local_test

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/keyring/local"
)

func TestFromFile_Pipe(t *testing.T) {
	t.Run("rejects a pipe without waiting for a writer", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pipe")
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		_, err := local.FromFile(path)
		require.ErrorContains(t, err, "is a pipe; use a regular file", "FromFile does not wait for a writer")
	})
}

func TestFromFile_Owner(t *testing.T) {
	t.Run("rejects a key file of another user", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "kek")
		_, err := local.GenerateFile(path)
		require.NoError(t, err)
		if err := os.Chown(path, 12345, 12345); err != nil {
			testenv.Lacks(t, "only root can give a file to another user")
		}
		kek, err := local.FromFile(path)
		require.EqualError(t, err, "key file \""+path+"\" belongs to another user, with uid 12345; this process has uid 0; run chown 0 on it, or run this program as its owner")
		require.Nil(t, kek)
	})
}

// The write fails in a process with a file size limit of 20 bytes, so that it stops in
// the middle of the key.
func TestGenerateFile_WriteFails(t *testing.T) {
	const variable = "SATCHEL_TEST_GENERATE"
	if path := os.Getenv(variable); path != "" {
		signal.Ignore(syscall.SIGXFSZ)
		var limit syscall.Rlimit
		require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
		short := limit
		short.Cur = 20
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &short))
		kek, err := local.GenerateFile(path)
		// The process writes a coverage profile when it exits.
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
		require.ErrorIs(t, err, syscall.EFBIG)
		require.ErrorContains(t, err, path)
		require.Nil(t, kek)
		return
	}
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), variable+"="+filepath.Join(dir, "kek"))
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "the partial key file is removed")
}
