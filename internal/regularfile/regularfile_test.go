package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", 8)), 0o600))
	content, err := Read(path, 8)
	require.NoError(t, err)
	require.Equal(t, "xxxxxxxx", string(content))
	link := filepath.Join(dir, "link")
	if os.Symlink(path, link) == nil {
		content, err = Read(link, 8)
		require.NoError(t, err, "a link to a regular file")
		require.Len(t, content, 8)
	}
	_, err = Read(path, 7)
	requireFault(t, err, path+" is larger than the limit of 7 bytes; check the path")
	_, err = Read(dir, 8)
	requireFault(t, err, dir+" is a directory; use a regular file")
	_, err = Read(filepath.Join(dir, "none"), 8)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestRead_Swapped tests the check that Read repeats after opening the file.
func TestRead_Swapped(t *testing.T) {
	for name, mode := range map[string]fs.FileMode{
		"a directory":    fs.ModeDir,
		"a pipe":         fs.ModeNamedPipe,
		"a special file": fs.ModeSocket,
	} {
		requireFault(t, check("x", info{mode: mode}), "x is "+name+"; use a regular file")
	}
	require.NoError(t, check("x", info{}))
}

func requireFault(t *testing.T, err error, text string) {
	t.Helper()
	require.EqualError(t, err, text)
	_, ok := errors.AsType[*bundle.Fault](err)
	require.True(t, ok, "the error is a *bundle.Fault")
}

type info struct {
	fs.FileInfo
	mode fs.FileMode
	sys  any
}

func (i info) Mode() fs.FileMode { return i.mode }
func (i info) Sys() any          { return i.sys }
func (i info) IsDir() bool       { return i.mode.IsDir() }
