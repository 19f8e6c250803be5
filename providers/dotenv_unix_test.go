//go:build unix

package providers_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/providers"
)

func TestDotenv_FileType(t *testing.T) {
	t.Run("rejects a pipe without blocking", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), ".env")
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		refused(t, &providers.Dotenv{Path: path, Optional: true}, path+" is a pipe; use a regular file")
	})

	t.Run("rejects a device", func(t *testing.T) {
		refused(t, &providers.Dotenv{Path: os.DevNull}, os.DevNull+" is a special file; use a regular file")
	})
}
