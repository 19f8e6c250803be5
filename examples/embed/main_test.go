package main

import (
	"context"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

// TestTheOutputIsTheOneInTheReadme runs the program against a platform.
func TestTheOutputIsTheOneInTheReadme(t *testing.T) {
	p := vaulttest.NewPlatform(t)
	p.Put(t, "acme", "ANTHROPIC_API_KEY", "sk-ant-api03-made-up-for-the-readme-4fGk")
	p.Put(t, "acme/web", "DEPLOY_TOKEN", "deploy-token-of-the-platform")
	token, err := p.Token(t, "acme/web")(t.Context())
	require.NoError(t, err)
	// Without TLS, since the program trusts the system's authorities only.
	server := httptest.NewServer(vault.NewHandler(p.Vault, nil))
	defer server.Close()

	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	for _, name := range []string{"SATCHEL_API_URL", "SATCHEL_RUNNER_TOKEN"} {
		t.Setenv(name, "") // to be put back
		require.NoError(t, os.Unsetenv(name))
	}
	env := "SATCHEL_API_URL=" + server.URL + "\nSATCHEL_RUNNER_TOKEN=" + token.Reveal() + "\nDEPLOY_TOKEN='deploy token of mine'\n"
	require.NoError(t, os.WriteFile(".env", []byte(env), 0o600))

	ctx, stop := context.WithCancel(t.Context())
	output := capture(t, func() { require.NoError(t, run(ctx)) })
	stop() // or the server would wait for the client, which waits for news
	output = strings.ReplaceAll(output, server.URL, "https://satchel.example.com")
	require.Contains(t, string(readme), "```text\n"+output+"```\n", "the README shows what the program prints")
}

// capture returns what f writes to the standard output.
func capture(t *testing.T, f func()) string {
	t.Helper()
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	os.Stdout = w
	f()
	require.NoError(t, w.Close())
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(out)
}
