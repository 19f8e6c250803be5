package atomicfile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/atomicfile"
)

func requireFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, content, string(got))
	info, err := os.Stat(path)
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Equal(t, mode, info.Mode().Perm())
	}
}

func requireNames(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, want, names)
}

func TestCreate(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a")
	require.NoError(t, atomicfile.Create(path, []byte("content")))
	requireFile(t, path, "content", 0o600)

	require.ErrorIs(t, atomicfile.Create(path, []byte("other")), fs.ErrExist)
	requireFile(t, path, "content", 0o600)
	require.ErrorIs(t, atomicfile.Create(filepath.Join(folder, "missing", "a"), nil), fs.ErrNotExist)
	requireNames(t, folder, "a")
}

func TestCreateFrom_WriteFails(t *testing.T) {
	folder := t.TempDir()
	full := errors.New("disk full")
	err := atomicfile.CreateFrom(filepath.Join(folder, "a"), func(w io.Writer) error {
		_, err := io.WriteString(w, "a half")
		return errors.Join(err, full)
	})
	require.ErrorIs(t, err, full)
	requireNames(t, folder)
}

func TestReplace(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a")
	require.NoError(t, atomicfile.Replace(path, []byte("one"), nil))
	requireFile(t, path, "one", 0o600)
	require.NoError(t, os.Chmod(path, 0o640))
	require.NoError(t, atomicfile.Replace(path, []byte("two"), nil))
	requireFile(t, path, "two", 0o640)
	require.NoError(t, atomicfile.Replace(path, []byte("three"), &atomicfile.ReplaceOptions{Mode: 0o644}))
	requireFile(t, path, "three", 0o644)
	requireNames(t, folder, "a")
}

func TestReplace_OldReaders(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be replaced")
	}
	path := filepath.Join(t.TempDir(), "a")
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o600))
	reader, err := os.Open(path)
	require.NoError(t, err)
	defer reader.Close()
	require.NoError(t, atomicfile.Replace(path, []byte("twenty-two"), nil))
	got, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.Equal(t, "one", string(got))
}

func TestReplace_Ready(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a")
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o600))
	changed := errors.New("changed meanwhile")
	err := atomicfile.Replace(path, []byte("two"), &atomicfile.ReplaceOptions{Ready: func() error {
		requireFile(t, path, "one", 0o600)
		fresh, err := filepath.Glob(path + ".new-*")
		require.NoError(t, err)
		require.Len(t, fresh, 1)
		requireFile(t, fresh[0], "two", 0o600)
		return changed
	}})
	require.ErrorIs(t, err, changed)
	requireFile(t, path, "one", 0o600)
	requireNames(t, folder, "a")
}

func TestReplace_Fails(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "a", "b"), 0o700))
	require.Error(t, atomicfile.Replace(filepath.Join(folder, "a"), []byte("one"), nil), "a folder is not replaced")
	requireNames(t, folder, "a")
	require.ErrorIs(t, atomicfile.Replace(filepath.Join(folder, "missing", "a"), nil, nil), fs.ErrNotExist)
}

func TestReplace_SymbolicLink(t *testing.T) {
	folder := t.TempDir()
	elsewhere := t.TempDir()
	target := filepath.Join(elsewhere, "target")
	require.NoError(t, os.WriteFile(target, []byte("one"), 0o600))
	link := filepath.Join(folder, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	require.NoError(t, atomicfile.Replace(link, []byte("two"), nil))
	requireFile(t, target, "two", 0o600)
	requireNames(t, folder, "link")
	requireNames(t, elsewhere, "target")
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&fs.ModeSymlink, "the link still exists")
}

func TestSyncFolder(t *testing.T) {
	atomicfile.SyncFolder(t.TempDir())
	atomicfile.SyncFolder(filepath.Join(t.TempDir(), "missing"))
}
