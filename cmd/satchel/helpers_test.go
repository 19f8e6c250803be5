package main

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// asMain is the variable that makes the test binary the program.
const asMain = "SATCHEL_TEST_AS_RUNNER"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Canaries: no output of a command may contain one of them.
const (
	adminToken = "admin-canary-9fK2mQ7xL4"
	aiKey      = "sk-ant-canary-4fGk2Lw9Zq7RtY1m-first"
	aiKeyNext  = "sk-ant-canary-8Hs6Dn3Vb5Xc0Pz2-second"
	deployKey  = "deploy-canary-Vb3nM8xK5tR2"
	localKey   = "local-canary-77aPqW3eUi8o"
)

var canaries = []string{adminToken, aiKey, aiKeyNext, deployKey, localKey}

// platform is a platform over TLS, with its admin API under /admin.
type platform struct {
	url   string
	ca    string // a file with its certificate
	vault *vault.Vault
	// bootstraps counts requests of runners.
	bootstraps atomic.Int64
	// down, if set, handles these requests in place of the platform.
	down atomic.Pointer[http.Handler]
}

// needsKey is a secret that runners of acme require.
var needsKey = vault.Required{Scope: "acme", Name: "ANTHROPIC_API_KEY", Kind: "anthropic", Help: "get one from the console of Anthropic"}

// startPlatform starts a platform, changes to a new folder, gives the user an empty
// configuration folder and clears the runner's variables from the environment.
func startPlatform(t *testing.T, required ...vault.Required) *platform {
	t.Helper()
	t.Chdir(t.TempDir())
	setConfigFolder(t, t.TempDir())
	for _, name := range []string{urlName, tokenName, tokenFileName, "DOCKER", "DOCKER_HOST", "NO_COLOR"} {
		t.Setenv(name, "") // restored by t.Setenv
		require.NoError(t, os.Unsetenv(name))
	}
	t.Setenv(adminTokenName, adminToken)

	keys, err := keyring.New(keyringtest.NewFake("platform"), nil)
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	p := &platform{}
	p.vault, err = vault.New(t.Context(), memstore.New(), keys, &vault.Options{Logger: quiet, Required: required})
	require.NoError(t, err)
	authorize := func(r *http.Request) (vaulthttp.Actor, error) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+adminToken)) != 1 {
			return vaulthttp.Actor{}, errors.New("unknown")
		}
		return vaulthttp.Actor{Name: "ada", Scopes: []string{"acme"}}, nil
	}
	runners := vaulthttp.Runners(p.vault, &vaulthttp.Options{Logger: quiet})
	mux := http.NewServeMux()
	mux.Handle("/admin/", http.StripPrefix("/admin", vaulthttp.Admin(p.vault, authorize, &vaulthttp.AdminOptions{Logger: quiet})))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.bootstraps.Add(1)
		if down := p.down.Load(); down != nil {
			(*down).ServeHTTP(w, r)
			return
		}
		runners.ServeHTTP(w, r)
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that ended commands leave
	server.StartTLS()
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // of runners that wait
	p.url, p.ca = server.URL, filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(p.ca, certificate, 0o600))
	return p
}

// setConfigFolder sets the user's configuration folder.
func setConfigFolder(t *testing.T, dir string) {
	t.Helper()
	name := map[string]string{"windows": "AppData", "darwin": "HOME"}[runtime.GOOS]
	t.Setenv(cmp.Or(name, "XDG_CONFIG_HOME"), dir)
}

// runnerHome returns the runner's standard folder.
func runnerHome(t testing.TB) home {
	t.Helper()
	h, err := standardHome()
	require.NoError(t, err)
	return h
}

// runnerEnv returns the path of the .env in the runner's standard folder, which it
// creates.
func runnerEnv(t testing.TB) string {
	t.Helper()
	h := runnerHome(t)
	require.NoError(t, h.makePrivate())
	return h.env()
}

// put stores a new version of a secret.
func (p *platform) put(t *testing.T, scope, name, value string, opts *vault.PutOptions) {
	t.Helper()
	_, err := p.vault.Put(vault.WithActor(t.Context(), "ada"), scope, name, bundle.NewValue(value), opts)
	require.NoError(t, err)
}

// setUp sets up a runner of acme/web in the standard folder.
func (p *platform) setUp(t *testing.T, flags ...string) {
	t.Helper()
	p.runner(t, append([]string{"setup", "--yes", "--platform", p.url, "--ca", p.ca, "--scope", "acme/web"}, flags...)...).must(t, 0)
}

// ran is the outcome of a command.
type ran struct {
	code        int
	out, errOut string
}

// must requires an exit code.
func (r ran) must(t *testing.T, code int) ran {
	t.Helper()
	require.Equal(t, code, r.code, "exit code\n--- output\n%s--- errors\n%s", r.out, r.errOut)
	return r
}

// runner runs a command without a terminal or input.
func (p *platform) runner(t *testing.T, args ...string) ran {
	t.Helper()
	return runCommand(t, t.Context(), "", args...)
}

// runCommand runs the program, and requires that its output has no canary or token.
func runCommand(t *testing.T, ctx context.Context, stdin string, args ...string) ran {
	t.Helper()
	var out, errOut safeBuffer
	code := run(ctx, args, strings.NewReader(stdin), &out, &errOut)
	r := ran{code: code, out: out.String(), errOut: errOut.String()}
	leaktest.NoCanary(t, r.out+r.errOut, "the output", canaries...)
	return r
}

// safeBuffer records output, for several goroutines.
type safeBuffer struct {
	leaktest.Output
	// grown, if not nil, is signaled after each write.
	grown chan struct{}
}

func (b *safeBuffer) Write(data []byte) (int, error) {
	n, err := b.Output.Write(data)
	if b.grown != nil {
		select {
		case b.grown <- struct{}{}:
		default:
		}
	}
	return n, err
}

// await waits until text is written.
func (b *safeBuffer) await(t testing.TB, text string) {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for !strings.Contains(b.String(), text) {
		select {
		case <-b.grown:
		case <-limit.C:
			require.Fail(t, "missing output", "%q is not in\n%s", text, b.String())
		}
	}
}

// appendTo adds text to a file.
func appendTo(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// overwriteFile replaces the content of a file.
func overwriteFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// idOf returns the ID of a token.
func idOf(t *testing.T, token string) string {
	t.Helper()
	id, ok := providers.TokenID(bundle.NewValue(token))
	require.True(t, ok)
	return id
}
