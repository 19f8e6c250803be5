package local

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestReadFile_Errors(t *testing.T) {
	for _, row := range []struct {
		about string
		err   error
		kind  bundle.FetchKind
		text  string
	}{
		{"missing", syscall.ENOENT, bundle.FetchPermanent, "open .env: no such file or directory; create the file, or set Optional"},
		{"forbidden", syscall.EACCES, bundle.FetchPermanent, "open .env: permission denied; give the user of this program read permission"},
		{"links in a circle", syscall.ELOOP, bundle.FetchPermanent, "open .env: too many levels of symbolic links; check the path, and the links on it"},
		{"a file in place of a folder", syscall.ENOTDIR, bundle.FetchPermanent, "open .env: not a directory; check the path, and the links on it"},
		{"a name that is too long", syscall.ENAMETOOLONG, bundle.FetchPermanent, "open .env: file name too long; check the path, and the links on it"},
		{"a disk that fails", syscall.EIO, bundle.FetchUnavailable, "open .env: input/output error"},
		{"too many open files", syscall.EMFILE, bundle.FetchUnavailable, "open .env: too many open files"},
	} {
		t.Run(row.about, func(t *testing.T) {
			err := classed(&fs.PathError{Op: "open", Path: ".env", Err: row.err}, "providers.Dotenv.Optional")
			fault, ok := errors.AsType[*bundle.FetchError](err)
			require.True(t, ok, "every read error has a kind")
			require.Equal(t, row.kind.String(), fault.Kind.String())
			require.EqualError(t, err, row.text)
			require.ErrorIs(t, err, row.err, "the cause is wrapped")
		})
	}
}

func TestBundle(t *testing.T) {
	t.Run("returns last if it is equal", func(t *testing.T) {
		secrets := []bundle.Secret{{Name: "A"}, {Name: "SATCHEL_A"}, {Name: "SATCHEL"}}
		first, err := Bundle(nil, secrets, nil)
		require.NoError(t, err)
		require.Equal(t, 2, first.Len(), "names that start with SATCHEL_ are omitted")
		again, err := Bundle(first, secrets, nil)
		require.NoError(t, err)
		require.Same(t, first, again)
		other, err := Bundle(first, secrets, &bundle.Meta{Notices: []string{"n"}})
		require.NoError(t, err)
		require.NotSame(t, first, other, "metadata counts")
		empty, err := Bundle(nil, nil, nil)
		require.NoError(t, err)
		require.NotNil(t, empty, "a bundle without secrets is not nil")
		require.Equal(t, "SATCHEL_A", secrets[1].Name, "the caller's list is not modified")
	})
}
