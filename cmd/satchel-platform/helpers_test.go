package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/providers"
)

// asProgram is the variable that makes the test binary the program, for tests that
// need a separate process.
const asProgram = "SATCHEL_TEST_AS_PLATFORM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(postgrestest.Run(m))
}

// text is a buffer for several goroutines.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *text) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *text) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// patience is longer than any operation of the tests takes.
const patience = time.Minute

// running is a running program.
type running struct {
	t        *testing.T
	url      string
	dir      string
	out, err *text
	said     io.Reader // its standard output
	client   *http.Client
	stop     func() int // ends it like a signal, and returns its exit status
}

// start starts the program in this process, on a free port, with its files in dir, and
// waits until it serves.
func start(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	return startIn(t, nil, dir, args...)
}

// startIn is start with an environment.
func startIn(t *testing.T, environ []string, dir string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // ended by stop
	reader, writer := io.Pipe()
	p := &running{t: t, dir: dir, said: reader, out: &text{}, err: &text{}}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"serve", "-data", dir, "-listen", "127.0.0.1:0"}, args...), environ, io.MultiWriter(p.out, writer), p.err)
		_ = writer.Close()
	}()
	p.stop = sync.OnceValue(func() int {
		if p.client != nil {
			p.client.CloseIdleConnections() // or http.Server.Shutdown waits a second for HTTP/2 clients to close theirs
		}
		cancel()
		return <-code
	})
	t.Cleanup(func() { p.stop() })
	p.serves()
	return p
}

// spawn starts the program in a separate process. Call serves to wait until it serves.
// The test ends the process; stop only waits for its end.
func spawn(t *testing.T, dir string, args ...string) (*running, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"serve", "-data", dir, "-listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	reader, writer := io.Pipe()
	p := &running{t: t, dir: dir, said: reader, out: &text{}, err: &text{}}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(p.out, writer), p.err
	require.NoError(t, cmd.Start())
	p.stop = sync.OnceValue(func() int {
		_ = cmd.Wait()
		_ = writer.Close()
		return cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() { _ = cmd.Process.Kill(); p.stop() })
	go p.stop()
	return p, cmd
}

// serves waits until the program prints its URL, and makes a client for it.
func (p *running) serves() {
	p.t.Helper()
	lines := bufio.NewReader(p.said)
	line, _ := lines.ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "Serving ")
	require.True(p.t, ok, "it did not start: %s %s", p.out, p.err)
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	p.url = url
	p.client = trusting(p.t, filepath.Join(p.dir, "tls-cert.pem"))
}

// trusting returns a client that trusts only the certificate in a file, or none if the
// file does not exist.
func trusting(t *testing.T, certFile string) *http.Client {
	roots := x509.NewCertPool()
	if text, err := os.ReadFile(certFile); err == nil {
		require.True(t, roots.AppendCertsFromPEM(text))
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// answer is a response.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request with the headers given in pairs.
func (p *running) do(method, path, body string, headers ...string) answer {
	p.t.Helper()
	a, err := p.try(method, path, body, headers...)
	require.NoError(p.t, err)
	return a
}

func (p *running) try(method, path, body string, headers ...string) (answer, error) {
	r, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(content)}, err
}

// adminToken returns the administrators' token that the program created.
func (p *running) adminToken() string {
	p.t.Helper()
	token, err := readPrivate(filepath.Join(p.dir, "admin-token"))
	require.NoError(p.t, err)
	return token
}

// admin sends an administrator's request, and requires that it succeeds.
func (p *running) admin(method, path, body string) string {
	p.t.Helper()
	a := p.do(method, "/admin/v1"+path, body, "Authorization", "Bearer "+p.adminToken(), "Satchel-Admin", "1", "Content-Type", "application/json")
	require.Less(p.t, a.status, 300, a.body)
	return a.body
}

func (p *running) put(scope, name, value string) {
	p.t.Helper()
	body, err := json.Marshal(map[string]string{"value": value})
	require.NoError(p.t, err)
	p.admin("PUT", "/secrets/"+name+"?scope="+scope, string(body))
}

// issue returns a new runner token.
func (p *running) issue(scope string) bundle.Value {
	p.t.Helper()
	var issued struct{ Token string }
	require.NoError(p.t, json.Unmarshal([]byte(p.admin("POST", "/tokens?scope="+scope, "{}")), &issued))
	require.NotEmpty(p.t, issued.Token)
	return bundle.NewValue(issued.Token)
}

// runner returns the provider of a runner.
func (p *running) runner(token bundle.Value) *providers.Platform {
	return &providers.Platform{URL: p.url, Client: p.client, Token: func(context.Context) (bundle.Value, error) { return token, nil }}
}

// fetch returns the bundle of a runner.
func (p *running) fetch(token bundle.Value) *bundle.Bundle {
	p.t.Helper()
	b, err := p.runner(token).Fetch(p.t.Context(), nil)
	require.NoError(p.t, err)
	return b
}

// value returns the value of a name in a bundle.
func value(t *testing.T, b *bundle.Bundle, name string) string {
	t.Helper()
	s, ok := b.Get(name)
	require.True(t, ok, "%s is in the bundle", name)
	return s.Value.Reveal()
}

// command runs a command that ends by itself.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err text
	code = run(t.Context(), args, nil, &out, &err)
	return code, out.String(), err.String()
}
