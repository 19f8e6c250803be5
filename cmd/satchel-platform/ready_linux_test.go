package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/wire"
)

func TestServer_Ready(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "audit")
	require.NoError(t, os.Mkdir(folder, 0o700))
	p := start(t, t.TempDir(), "-audit-file", filepath.Join(folder, "audit.jsonl"))
	first := p.do("GET", "/readyz", "")
	require.Equal(t, 503, first.status)
	require.Contains(t, first.body, "Nothing is stored here yet")
	token, _ := wire.NewToken()
	require.Equal(t, 503, p.do("GET", "/runners/bootstrap", "", "Authorization", "Bearer "+token).status, "tokens are unknown, not refused")
	p.put("acme", "API_KEY", "made-up-value-of-acme")
	p.requireReady(200)
	require.Equal(t, 401, p.do("GET", "/runners/bootstrap", "", "Authorization", "Bearer "+token).status)

	require.NoError(t, os.RemoveAll(folder))
	p.requireReady(503)
	require.Contains(t, p.do("GET", "/readyz", "").body, "Audit entries cannot be recorded")
	require.NoError(t, os.Mkdir(folder, 0o700))
	p.requireReady(200)
	p.put("acme", "API_KEY", "made-up-second-value")
}
