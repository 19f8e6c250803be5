// Package hashivaulttest starts a real HashiCorp Vault for a test. The server is
// the program in internal/vaultserver, which is a module of its own and is not
// built here: the variable SATCHEL_VAULT_SERVER names the binary.
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

// A Server is a Vault with its storage in memory, unsealed, with no engine
// mounted but those that every Vault has.
type Server struct {
	// Address is its URL, on 127.0.0.1.
	Address string
	// RootToken may do everything.
	RootToken string

	unsealKey string
	stop      func()
	policies  int
}

// Start starts a server, which ends with t, and with the process of the test
// whatever happens to that. It skips t where SATCHEL_VAULT_SERVER is not set,
// and fails it there if SATCHEL_TEST_FULL is 1.
func Start(t testing.TB) *Server {
	t.Helper()
	binary := os.Getenv("SATCHEL_VAULT_SERVER")
	if binary == "" {
		testenv.Lacks(t, "needs a Vault: run `go build -o BINARY .` in internal/vaultserver, and set SATCHEL_VAULT_SERVER to the absolute path of BINARY")
	}

	// Not under t's context: Stop ends it, and a test may stop it early.
	cmd := exec.Command(binary)
	// A test may run in Go's strict FIPS mode; Vault cannot.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "GODEBUG=") })
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start(), "starting the binary that SATCHEL_VAULT_SERVER names")
	s := &Server{}
	s.stop = sync.OnceFunc(func() { end(cmd, stdin) })
	t.Cleanup(func() {
		s.stop()
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("Vault said:\n%s", stderr.String())
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

// end closes the server's standard input, and kills it if that is not enough.
func end(cmd *exec.Cmd, stdin io.Closer) {
	_ = stdin.Close()
	kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait()
}

// Stop ends the server at once.
func (s *Server) Stop() { s.stop() }

// Client returns a client of the server with a token. It does not retry.
func (s *Server) Client(t testing.TB, token string) *api.Client {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: s.Address})
	require.NoError(t, err)
	client.ClearNamespace() // that of the environment
	client.SetToken(token)
	return client
}

// Root returns a client with the root token.
func (s *Server) Root(t testing.TB) *api.Client {
	t.Helper()
	return s.Client(t, s.RootToken)
}

// Write writes to a path as root and returns the data of the answer, if any.
func (s *Server) Write(t testing.TB, path string, data map[string]any) map[string]any {
	t.Helper()
	answer, err := s.Root(t).Logical().WriteWithContext(t.Context(), path, data)
	require.NoError(t, err, "writing to %s", path)
	if answer == nil {
		return nil
	}
	return answer.Data
}

// Delete deletes a path as root.
func (s *Server) Delete(t testing.TB, path string) {
	t.Helper()
	_, err := s.Root(t).Logical().DeleteWithContext(t.Context(), path)
	require.NoError(t, err, "deleting %s", path)
}

// Mount mounts an engine: "transit" or "kv".
func (s *Server) Mount(t testing.TB, path, engine string, options map[string]string) {
	t.Helper()
	err := s.Root(t).Sys().MountWithContext(t.Context(), path, &api.MountInput{Type: engine, Options: options})
	require.NoError(t, err, "mounting %s at %s", engine, path)
}

// Token returns a new token that may do what rules allow, in Vault's policy
// language, besides the default policy. Rules may be empty.
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

// Revoke revokes a token.
func (s *Server) Revoke(t testing.TB, token string) {
	t.Helper()
	require.NoError(t, s.Root(t).Auth().Token().RevokeTreeWithContext(t.Context(), token), "revoking a token")
}

// Seal seals the server: it answers nothing until Unseal.
func (s *Server) Seal(t testing.TB) {
	t.Helper()
	require.NoError(t, s.Root(t).Sys().SealWithContext(t.Context()), "sealing")
}

// Unseal undoes Seal.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	status, err := s.Root(t).Sys().UnsealWithContext(t.Context(), s.unsealKey)
	require.NoError(t, err, "unsealing")
	require.False(t, status.Sealed, "one share unseals it")
}
