// Package hashivaulttest starts a HashiCorp Vault for a test. The server is the program in
// internal/vaultserver, which is a separate module and must be built first. The variable
// SATCHEL_VAULT_SERVER contains the path of the binary.
package hashivaulttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/testenv"
)

// A Server is an unsealed Vault with its storage in memory and only the default engines
// mounted. Its methods fail the test on an error.
type Server struct {
	// Address is the URL of the server, on 127.0.0.1.
	Address string
	// RootToken is the root token, which has all permissions.
	RootToken string

	unsealKey string
	stop      func()
	policies  int
}

// Start starts a server, which stops at the end of t, and also if the test process dies. If
// SATCHEL_VAULT_SERVER is not set, Start skips t, or fails it if SATCHEL_TEST_FULL is 1.
func Start(t testing.TB) *Server {
	t.Helper()
	binary := os.Getenv("SATCHEL_VAULT_SERVER")
	if binary == "" {
		testenv.Lacks(t, "needs a Vault: run `go build -o BINARY .` in internal/vaultserver, and set SATCHEL_VAULT_SERVER to the absolute path of BINARY")
	}

	// Not under t's context, because Stop ends the server and a test may call it early.
	cmd := exec.Command(binary)
	// A test may run in Go's strict FIPS mode, but Vault cannot.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "GODEBUG=") })
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start(), "starting the binary in SATCHEL_VAULT_SERVER")
	s := &Server{}
	s.stop = sync.OnceFunc(func() { end(cmd, stdin) })
	t.Cleanup(func() {
		s.stop()
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("output of Vault:\n%s", stderr.String())
		}
	})

	var ready struct {
		Address   string `json:"address"`
		RootToken string `json:"root_token"`
		UnsealKey string `json:"unseal_key"`
	}
	if err := json.NewDecoder(stdout).Decode(&ready); err != nil {
		s.stop()
		t.Fatalf("Vault did not start: %v\n%s", err, stderr.String())
	}
	s.Address, s.RootToken, s.unsealKey = ready.Address, ready.RootToken, ready.UnsealKey
	return s
}

// end closes the standard input of the server. It kills a server that does not exit within
// ten seconds.
func end(cmd *exec.Cmd, stdin io.Closer) {
	_ = stdin.Close()
	kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait()
}

// Stop stops the server immediately and waits for its end. A second call does nothing.
func (s *Server) Stop() { s.stop() }

// Client returns a client of the server with the given token. It does not retry.
func (s *Server) Client(t testing.TB, token string) *api.Client {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: s.Address})
	require.NoError(t, err)
	client.ClearNamespace() // from the environment
	client.SetToken(token)
	return client
}

// Root returns a client with the root token.
func (s *Server) Root(t testing.TB) *api.Client {
	t.Helper()
	return s.Client(t, s.RootToken)
}

// Write writes to a path as root. It returns the data of the response, or nil.
func (s *Server) Write(t testing.TB, path string, data map[string]any) map[string]any {
	t.Helper()
	response, err := s.Root(t).Logical().WriteWithContext(t.Context(), path, data)
	require.NoError(t, err, "writing to %s", path)
	if response == nil {
		return nil
	}
	return response.Data
}

// Delete deletes a path as root.
func (s *Server) Delete(t testing.TB, path string) {
	t.Helper()
	_, err := s.Root(t).Logical().DeleteWithContext(t.Context(), path)
	require.NoError(t, err, "deleting %s", path)
}

// Mount mounts an engine, "transit" or "kv", at a path. options may be nil.
func (s *Server) Mount(t testing.TB, path, engine string, options map[string]string) {
	t.Helper()
	err := s.Root(t).Sys().MountWithContext(t.Context(), path, &api.MountInput{Type: engine, Options: options})
	require.NoError(t, err, "mounting %s at %s", engine, path)
}

// Token returns a new token with the default policy and a policy with the given rules, in
// Vault's policy language. Empty rules: only the default policy.
func (s *Server) Token(t testing.TB, rules string) string {
	t.Helper()
	root := s.Root(t)
	policy := "default"
	if rules != "" {
		s.policies++
		policy = fmt.Sprint("test-", s.policies)
		require.NoError(t, root.Sys().PutPolicyWithContext(t.Context(), policy, rules), "writing a policy")
	}
	created, err := root.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{policy}})
	require.NoError(t, err, "creating a token")
	return created.Auth.ClientToken
}

// Revoke revokes a token and its children.
func (s *Server) Revoke(t testing.TB, token string) {
	t.Helper()
	require.NoError(t, s.Root(t).Auth().Token().RevokeTreeWithContext(t.Context(), token), "revoking a token")
}

// Seal seals the server, which then rejects requests until Unseal.
func (s *Server) Seal(t testing.TB) {
	t.Helper()
	require.NoError(t, s.Root(t).Sys().SealWithContext(t.Context()), "sealing")
}

// Unseal undoes Seal.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	status, err := s.Root(t).Sys().UnsealWithContext(t.Context(), s.unsealKey)
	require.NoError(t, err, "unsealing")
	require.False(t, status.Sealed, "one key share is sufficient")
}
