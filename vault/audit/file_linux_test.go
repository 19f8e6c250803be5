package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/audit"
)

// limitFiles makes writes beyond a file size fail in this process, until lift is called
// or the test ends.
func limitFiles(t *testing.T, size uint64) (lift func()) {
	t.Helper()
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}))
	lift = func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before)) }
	t.Cleanup(lift)
	return lift
}

func sizeOf(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return uint64(info.Size())
}

func TestFileSink_Check(t *testing.T) {
	t.Run("fails at the limit for the size of files", func(t *testing.T) {
		sink, path := newFileSink(t)
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("A")))
		require.NoError(t, sink.Check(t.Context()))
		lift := limitFiles(t, sizeOf(t, path)+10)
		require.ErrorIs(t, sink.Check(t.Context()), syscall.EFBIG)
		require.ErrorIs(t, sink.Record(t.Context(), "acme", recordOf("B")), syscall.EFBIG)
		lift()
		require.NoError(t, sink.Check(t.Context()))
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("B")))
		require.Equal(t, []string{"A", "?", "B"}, namesIn(t, path))
	})

	t.Run("fails on a full disk", func(t *testing.T) {
		folder := t.TempDir()
		err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=256k")
		if errors.Is(err, syscall.EPERM) {
			t.Skip("this test needs permission to mount a file system")
		}
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, syscall.Unmount(folder, 0)) })
		path := filepath.Join(folder, "audit.jsonl")
		sink, err := audit.NewFileSink(path)
		require.NoError(t, err)
		defer sink.Close()
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("A")))
		filler := filepath.Join(folder, "filler")
		require.ErrorIs(t, os.WriteFile(filler, make([]byte, 512<<10), 0o600), syscall.ENOSPC)
		require.ErrorIs(t, sink.Check(t.Context()), syscall.ENOSPC)
		require.NoError(t, os.Remove(filler))
		require.NoError(t, sink.Check(t.Context()))

		require.ErrorIs(t, os.WriteFile(filler, make([]byte, 512<<10), 0o600), syscall.ENOSPC)
		require.NoError(t, sink.Check(t.Context()), "the space for the next entries is reserved")
		require.NoError(t, sink.Record(t.Context(), "acme", recordOf("B")))
		require.Equal(t, []string{"A", "B"}, namesIn(t, path), "checks do not change the file")
		require.NoError(t, os.Remove(filler))
	})
}

func TestFileSink_Deleted(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "logs")
	require.NoError(t, os.Mkdir(folder, 0o700))
	path := filepath.Join(folder, "audit.jsonl")
	sink, err := audit.NewFileSink(path)
	require.NoError(t, err)
	defer sink.Close()
	require.NoError(t, sink.Record(t.Context(), "acme", recordOf("A")))
	require.NoError(t, os.Remove(path))
	require.NoError(t, sink.Record(t.Context(), "acme", recordOf("B")))
	require.Equal(t, []string{"B"}, namesIn(t, path), "entries go to a file that can be found")
	require.NoError(t, os.RemoveAll(folder))
	require.ErrorIs(t, sink.Check(t.Context()), os.ErrNotExist)
	require.ErrorIs(t, sink.Record(t.Context(), "acme", recordOf("C")), os.ErrNotExist)
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, sink.Check(t.Context()))
	require.NoError(t, sink.Record(t.Context(), "acme", recordOf("C")))
	require.Equal(t, []string{"C"}, namesIn(t, path))
	require.NoError(t, os.Rename(path, path+".1"))
	require.NoError(t, sink.Record(t.Context(), "acme", recordOf("D")))
	require.Equal(t, []string{"C", "D"}, namesIn(t, path+".1"), "a renamed file is not deleted")
}
