//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/testenv"
)

func TestReadPrivate_Owner(t *testing.T) {
	if os.Geteuid() != 0 {
		testenv.Lacks(t, "only root can give a file to another user")
	}
	dir := t.TempDir()
	start(t, dir).stop()
	github := []string{"-github-app-id", "1", "-github-installation", "42", "-github-scope", "acme", "-github-app-key-file"}
	bitbucket := []string{"-bitbucket-consumer-key", "c", "-bitbucket-scope", "acme", "-bitbucket-consumer-secret-file"}
	for name, args := range map[string][]string{
		"admin-token": {"-admin-token-file"},
		"kek":         {"-kek-key"},
		"github":      github,
		"bitbucket":   bitbucket,
	} {
		t.Run("refuses another user's file of "+args[len(args)-1], func(t *testing.T) {
			file := filepath.Join(dir, name)
			if _, err := os.Stat(file); err != nil {
				require.NoError(t, os.WriteFile(file, []byte("made-up"), 0o600))
			}
			require.NoError(t, os.Chown(file, 12345, 12345))
			args := append(args, file, "-data", dir, "-listen", "127.0.0.1:0")
			code, _, stderr := command(t, args...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, strings.ReplaceAll(stderr, `"`, ""), file+" belongs to another user, with uid 12345; this process has uid 0; run chown 0 on it, or run this program as its owner")
			require.NoError(t, os.Chown(file, 0, 0))
		})
	}

	t.Run("refuses another user's key of the certificate unless it is shared", func(t *testing.T) {
		certFile, keyFile := pair(t)
		require.NoError(t, os.Chmod(keyFile, 0o600))
		require.NoError(t, os.Chown(keyFile, 12345, 12345))
		_, err := newCertificate(certFile, keyFile, nil)
		require.ErrorContains(t, err, "-tls-cert and -tls-key: "+keyFile+" belongs to another user, with uid 12345")
		require.NoError(t, os.Chmod(keyFile, 0o640))
		_, err = newCertificate(certFile, keyFile, nil)
		require.NoError(t, err)
	})

	t.Run("refuses another user's key for a new certificate", func(t *testing.T) {
		certFile, keyFile := selfSignedFiles(dir)
		require.NoError(t, os.Remove(certFile))
		require.NoError(t, os.Chown(keyFile, 12345, 12345))
		code, _, stderr := command(t, "-data", dir, "-listen", "127.0.0.1:0")
		require.NotEqual(t, exitOK, code)
		require.Contains(t, stderr, keyFile+" belongs to another user")
		require.NoFileExists(t, certFile)
	})
}
