//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/vaulthttp"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

// The values are long enough to be masked. They have different lengths, so that a job
// can print a length to identify a value.
const (
	npmToken    = "npm-token-of-the-platform"
	npmRotated  = "npm-token-of-the-platform-after-its-rotation"
	deployLocal = "deploy-token-of-this-.env"
	npmHere     = "npm-token-of-the-environment"
)

// The test binary acts as the program if this variable is set.
const asMain = "SATCHEL_POOL_TEST_MAIN"

func init() {
	if os.Getenv(asMain) != "" {
		main()
		os.Exit(0)
	}
}

// platform starts a platform and changes to a directory with a .env for it.
func platform(t *testing.T) *vaulttest.Platform {
	t.Helper()
	p := vaulttest.NewPlatform(t)
	p.Put(t, "acme", "NPM_TOKEN", npmToken)
	p.Put(t, "acme/web", "DEPLOY_TOKEN", "deploy-token-of-the-platform")
	token, err := p.Token(t, "acme/web")(t.Context())
	require.NoError(t, err)
	// Without TLS, because the program trusts only the system's CAs.
	server := httptest.NewServer(vaulthttp.Runners(p.Vault, nil))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	t.Chdir(t.TempDir())
	for _, name := range []string{"SATCHEL_API_URL", "SATCHEL_RUNNER_TOKEN", "NPM_TOKEN", "DEPLOY_TOKEN"} {
		t.Setenv(name, "") // restored after the test
		require.NoError(t, os.Unsetenv(name))
	}
	env := "SATCHEL_API_URL=" + server.URL + "\nSATCHEL_RUNNER_TOKEN=" + token.Reveal() + "\nDEPLOY_TOKEN='" + deployLocal + "'\n"
	require.NoError(t, os.WriteFile(".env", []byte(env), 0o600))
	return p
}

// running is a running pool.
type running struct {
	in    *io.PipeWriter
	lines *bufio.Scanner
	ended chan error
}

// start runs the pool until ctx is done or the test closes the input.
func start(t *testing.T, ctx context.Context) *running {
	t.Helper()
	theirs, in := io.Pipe()
	out, ours := io.Pipe()
	r := &running{in: in, lines: bufio.NewScanner(out), ended: make(chan error, 1)}
	go func() {
		r.ended <- run(ctx, theirs, ours)
		_ = ours.Close()
	}()
	t.Cleanup(func() { _ = in.Close() })
	return r
}

func (r *running) job(t *testing.T, name, script string, secrets ...string) {
	t.Helper()
	_, err := fmt.Fprintf(r.in, `{"name": %q, "command": ["sh", "-c", %q], "secrets": ["%s"]}`+"\n", name, script, strings.Join(secrets, `", "`))
	require.NoError(t, err)
}

// next returns the next line of output.
func (r *running) next(t *testing.T) string {
	t.Helper()
	require.True(t, r.lines.Scan(), "the output has another line")
	return r.lines.Text()
}

func TestRun(t *testing.T) {
	t.Run("jobs get the secrets of the nearest layer, masked", func(t *testing.T) {
		platform(t)
		t.Setenv("NPM_TOKEN", npmHere)
		r := start(t, t.Context())
		r.job(t, "web", `echo "${#DEPLOY_TOKEN} ${#NPM_TOKEN} $DEPLOY_TOKEN $NPM_TOKEN"`, "DEPLOY_TOKEN", "NPM_TOKEN")
		require.Equal(t, fmt.Sprintf("[web] %d %d [DEPLOY_TOKEN] [NPM_TOKEN]", len(deployLocal), len(npmHere)), r.next(t))
		r.job(t, "next", `printf "nothing else: $SATCHEL_RUNNER_TOKEN$NPM_TOKEN."`, "DEPLOY_TOKEN")
		require.Equal(t, "[next] nothing else: .", r.next(t), "an unterminated last line is printed")
		require.NoError(t, r.in.Close())
		require.NoError(t, <-r.ended)
	})
	t.Run("several run at a time", func(t *testing.T) {
		platform(t)
		r := start(t, t.Context())
		for i := range workers {
			r.job(t, fmt.Sprint(i), fmt.Sprintf("touch ran-%d; until [ $(ls | grep -c ran-) = %d ]; do sleep 0.02; done; echo done", i, workers), "DEPLOY_TOKEN")
		}
		for range workers {
			require.Contains(t, r.next(t), "done", "each job waits for all others")
		}
		require.NoError(t, r.in.Close())
		require.NoError(t, <-r.ended)
	})
	t.Run("a rotated value reaches the next job", func(t *testing.T) {
		p := platform(t)
		r := start(t, t.Context())
		r.job(t, "before", `echo ${#NPM_TOKEN}`, "NPM_TOKEN")
		require.Equal(t, fmt.Sprintf("[before] %d", len(npmToken)), r.next(t))
		p.Put(t, "acme", "NPM_TOKEN", npmRotated)
		want := fmt.Sprintf("[after] %d", len(npmRotated))
		for begin := time.Now(); ; {
			r.job(t, "after", `echo ${#NPM_TOKEN}`, "NPM_TOKEN")
			if r.next(t) == want {
				break
			}
			require.Less(t, time.Since(begin), 20*time.Second, "the client waits for changes on the platform")
		}
		require.NoError(t, r.in.Close())
		require.NoError(t, <-r.ended)
	})
	t.Run("a job that cannot start does not affect others", func(t *testing.T) {
		platform(t)
		r := start(t, t.Context())
		r.job(t, "missing", "echo ran", "NOWHERE")
		r.job(t, "next", "echo ran", "DEPLOY_TOKEN")
		require.Equal(t, "[next] ran", r.next(t))
		require.NoError(t, r.in.Close())
		require.NoError(t, <-r.ended)
	})
	t.Run("invalid input ends the pool after its jobs", func(t *testing.T) {
		platform(t)
		for input, want := range map[string]string{
			`{"secrets": ["A"]}`:  `reading jobs: missing "command"`,
			`make deploy`:         "reading jobs: invalid character",
			`{"command": "make"}`: "reading jobs: json: cannot unmarshal",
		} {
			require.ErrorContains(t, run(t.Context(), strings.NewReader(input), io.Discard), want)
		}
	})
	t.Run("cancellation ends the jobs", func(t *testing.T) {
		platform(t)
		ctx, stop := context.WithCancel(t.Context())
		r := start(t, ctx)
		r.job(t, "long", `trap 'echo told; exit 3' TERM; echo ready; until read line; do :; done`, "DEPLOY_TOKEN")
		require.Equal(t, "[long] ready", r.next(t))
		stop()
		require.Equal(t, "[long] told", r.next(t))
		require.NoError(t, <-r.ended, "the input is still open")
	})
	t.Run("a job whose output cannot be printed is ended", func(t *testing.T) {
		platform(t)
		closed, out := io.Pipe()
		require.NoError(t, closed.Close())
		begin := time.Now()
		require.NoError(t, run(t.Context(), strings.NewReader(`{"command": ["sh", "-c", "echo ready; exec sleep 1000"]}`), out))
		require.Less(t, time.Since(begin), time.Minute)
	})
	t.Run("fails without a platform", func(t *testing.T) {
		platform(t)
		require.NoError(t, os.Remove(".env"))
		require.Error(t, run(t.Context(), strings.NewReader(""), io.Discard))
	})
}

func TestMain_Size(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(source), "\n"), 150, "the README promises a program of 150 lines")
}

func TestMain_Signals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		platform(t)
		self, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), asMain+"=1")
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = io.WriteString(in, `{"name": "long", "command": ["sh", "-c", "trap 'echo told $DEPLOY_TOKEN; exit 3' TERM; echo ready; until read line; do :; done"], "secrets": ["DEPLOY_TOKEN"]}`)
		require.NoError(t, err)
		lines := bufio.NewScanner(out)
		require.True(t, lines.Scan())
		require.Equal(t, "[long] ready", lines.Text())
		require.NoError(t, cmd.Process.Signal(sig))
		require.True(t, lines.Scan())
		require.Equal(t, "[long] told [DEPLOY_TOKEN]", lines.Text(), "the job has time to end, and all its output is masked")
		require.False(t, lines.Scan())
		require.NoError(t, cmd.Wait(), "%s ends the program cleanly", sig)
	}
}
