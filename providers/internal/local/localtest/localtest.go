// Package localtest has helpers for the tests of providers of local values.
package localtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

// Canary is a value that must not be in an error.
const Canary = "canary-4f9a7c2e1b8d"

// Write writes text to a new file with a name and returns its path.
func Write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// RequireFailure requires that Fetch returns a kind of error that contains want but
// not [Canary], and no bundle.
func RequireFailure(t *testing.T, p bundle.Provider, kind bundle.FetchKind, want string) {
	t.Helper()
	b, err := p.Fetch(t.Context(), nil)
	require.ErrorContains(t, err, want)
	require.Nil(t, b, "an error excludes a bundle")
	require.NotContains(t, err.Error(), Canary, "an error contains no value")
	remotetest.RequireKind(t, err, kind)
}
