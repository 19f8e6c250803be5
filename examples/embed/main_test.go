package main

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/vault/vaulthttp"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

func TestRun(t *testing.T) {
	// The program runs against a real platform.
	t.Run("prints the output that the README shows", func(t *testing.T) {
		readme, err := os.ReadFile("../../README.md")
		require.NoError(t, err)
		url := platform(t)
		ctx, stop := context.WithCancel(t.Context())
		output := capture(t, func() {
			code, err := run(ctx)
			require.NoError(t, err)
			require.Zero(t, code)
		})
		stop() // otherwise the server would wait for the client, which waits for changes
		output = strings.ReplaceAll(output, url, "https://satchel.example.com")
		require.Contains(t, string(readme), "```text\n"+output+"```\n", "the README shows what the program prints")
	})

	t.Run("masks the job's output and returns its exit code", func(t *testing.T) {
		testenv.Program(t, "sh")
		platform(t)
		ctx, stop := context.WithCancel(t.Context())
		var code int
		output := capture(t, func() {
			var err error
			code, err = run(ctx, "sh", "-c", `echo "${#DEPLOY_TOKEN}: $DEPLOY_TOKEN, $SATCHEL_RUNNER_TOKEN$ANTHROPIC_API_KEY."; exit 42`)
			require.NoError(t, err)
		})
		stop()
		require.Equal(t, 42, code)
		require.Contains(t, output, fmt.Sprintf("\n%d: [DEPLOY_TOKEN], .\n", len("deploy token of mine")))
	})
}

// platform starts a platform, changes to a directory with a .env for it, and returns
// its URL.
func platform(t *testing.T) string {
	t.Helper()
	p := vaulttest.NewPlatform(t)
	p.Put(t, "acme", "ANTHROPIC_API_KEY", "sk-ant-api03-made-up-for-the-readme-4fGk")
	p.Put(t, "acme/web", "DEPLOY_TOKEN", "deploy-token-of-the-platform")
	token, err := p.Token(t, "acme/web")(t.Context())
	require.NoError(t, err)
	// Without TLS, because the program trusts only the system's CAs.
	server := httptest.NewServer(vaulthttp.Runners(p.Vault, nil))
	t.Cleanup(server.Close)

	t.Chdir(t.TempDir())
	for _, name := range []string{"SATCHEL_API_URL", "SATCHEL_RUNNER_TOKEN"} {
		t.Setenv(name, "") // restored after the test
		require.NoError(t, os.Unsetenv(name))
	}
	env := "SATCHEL_API_URL=" + server.URL + "\nSATCHEL_RUNNER_TOKEN=" + token.Reveal() + "\nDEPLOY_TOKEN='deploy token of mine'\n"
	require.NoError(t, os.WriteFile(".env", []byte(env), 0o600))
	return server.URL
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
