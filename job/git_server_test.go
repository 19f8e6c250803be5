//go:build linux || darwin

package job

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/job/internal/socket"
)

// openSocket serves the named secrets on a socket until the test ends. put sets their
// values.
func openSocket(t *testing.T, names ...string) (s *socket.Server, put func(name, value string, expires time.Time)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock") // a short path, for the limit of a socket's
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	var mu sync.Mutex
	secrets := map[string]bundle.Secret{}
	s, err = socket.Serve(dir, names, func(name string) (bundle.Secret, bool) {
		mu.Lock()
		defer mu.Unlock()
		secret, ok := secrets[name]
		return secret, ok
	}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, func(name, value string, expires time.Time) {
		mu.Lock()
		defer mu.Unlock()
		secrets[name] = bundle.Secret{Name: name, Value: bundle.NewValue(value), Expires: expires}
	}
}

func TestGitCredentialHelper_Socket(t *testing.T) {
	s, put := openSocket(t, "TOKEN")
	t.Setenv(socket.Variable, s.Path())
	ask := func() (string, error) {
		var out bytes.Buffer
		err := GitCredentialHelper(t.Context(), []string{"https://github.com", "", "TOKEN", "get"}, strings.NewReader("protocol=https\nhost=github.com\n\n"), &out)
		return out.String(), err
	}
	_, err := ask()
	require.ErrorContains(t, err, "the job has no such secret")
	put("TOKEN", "first", time.Time{})
	out, err := ask()
	require.NoError(t, err)
	require.Equal(t, "username=x-access-token\npassword=first\n", out)
	put("TOKEN", "second", time.Unix(1999999999, 0))
	out, err = ask()
	require.NoError(t, err)
	require.Equal(t, "username=x-access-token\npassword=second\npassword_expiry_utc=1999999999\n", out)
	for _, value := range []string{"", "c4n4ry\n", "c4n4ry\nhost=evil.example", "c4n4ry\r", "c4n4ry\x00"} {
		put("TOKEN", value, time.Time{})
		out, err = ask()
		require.ErrorContains(t, err, "TOKEN cannot be a password for git")
		require.NotContains(t, err.Error(), "c4n4ry")
		require.Empty(t, out)
	}
}

// gitServer serves one repository to clients that have the password.
type gitServer struct {
	*httptest.Server
	repository string // bare, on disk

	mu       sync.Mutex
	password string
	requests int
	offered  []string // all passwords received, valid or not
}

// newGitServer starts a server of git over HTTP, with the repository acme/web.git.
func newGitServer(t *testing.T, password string) *gitServer {
	t.Helper()
	root := t.TempDir()
	s := &gitServer{repository: filepath.Join(root, "acme", "web.git"), password: password}
	require.NoError(t, os.MkdirAll(s.repository, 0o755))
	git(t, s.repository, nil, "init", "--quiet", "--bare", "--initial-branch=main")
	s.commit(t, "first")
	programs := strings.TrimSpace(git(t, root, nil, "--exec-path"))
	backend := &cgi.Handler{
		Path:   filepath.Join(programs, "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + root, "GIT_CONFIG_NOSYSTEM=1"},
		Stderr: io.Discard,
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.admits(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "authentication required", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// admits records a request, and reports whether it has the password.
func (s *gitServer) admits(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	user, password, ok := r.BasicAuth()
	if ok {
		s.offered = append(s.offered, password)
	}
	return ok && user == "x-access-token" && password == s.password
}

// commit adds a commit to the branch main.
func (s *gitServer) commit(t *testing.T, message string) {
	t.Helper()
	env := []string{
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
	}
	empty := strings.TrimSpace(git(t, s.repository, nil, "hash-object", "-w", "-t", "tree", "/dev/null"))
	args := []string{"commit-tree", empty, "-m", message}
	if message != "first" {
		args = append(args, "-p", "main")
	}
	id := strings.TrimSpace(git(t, s.repository, env, args...))
	git(t, s.repository, nil, "update-ref", "refs/heads/main", id)
}

// changePassword replaces the password and clears the record of passwords.
func (s *gitServer) changePassword(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password, s.offered = password, nil
}

func (s *gitServer) passwords() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offered
}

func (s *gitServer) requested() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// gitCommand returns a git command that does not use the configuration of this
// machine.
func gitCommand(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	program := testenv.Program(t, "git")
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1"}, env...)
	return cmd
}

// git runs a git command that must succeed, and returns its output.
func git(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := gitCommand(t, dir, env, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "git %v: %s", args, &stderr)
	return string(out)
}

func TestGitServer(t *testing.T) {
	t.Run("uses the new token after a rotation", func(t *testing.T) {
		s, put := openSocket(t, "GITHUB_TOKEN")
		put("GITHUB_TOKEN", "token of the first hour", time.Now().Add(time.Hour))
		server := newGitServer(t, "token of the first hour")
		env := gitJobEnviron(t, s, GitCredential{URL: server.URL, Secret: "GITHUB_TOKEN"})

		dir := t.TempDir()
		git(t, dir, env, "clone", "--quiet", server.URL+"/acme/web.git")
		clone := filepath.Join(dir, "web")
		require.Equal(t, "first\n", git(t, clone, nil, "log", "--format=%s", "origin/main"))
		require.Contains(t, server.passwords(), "token of the first hour")
		config, err := os.ReadFile(filepath.Join(clone, ".git", "config"))
		require.NoError(t, err)
		require.NotContains(t, string(config), "token", "the clone does not store the token")

		server.changePassword("token of the second hour")
		server.commit(t, "second")
		out, err := gitCommand(t, clone, env, "fetch", "--quiet").CombinedOutput()
		require.Error(t, err, "the token of the first hour must be invalid: %s", out)

		put("GITHUB_TOKEN", "token of the second hour", time.Now().Add(time.Hour))
		server.changePassword("token of the second hour")
		git(t, clone, env, "fetch", "--quiet") // with the environment from before the rotation
		require.Equal(t, "second\nfirst\n", git(t, clone, nil, "log", "--format=%s", "origin/main"))
		for _, password := range server.passwords() {
			require.Equal(t, "token of the second hour", password)
		}
		require.NotContains(t, strings.Join(env, "\n"), "token of", "the environment has names only")
	})

	t.Run("of another host never gets the token", func(t *testing.T) {
		s, put := openSocket(t, "GITHUB_TOKEN")
		put("GITHUB_TOKEN", "the token", time.Time{})
		ours, theirs := newGitServer(t, "the token"), newGitServer(t, "the token")
		env := gitJobEnviron(t, s, GitCredential{URL: ours.URL, Secret: "GITHUB_TOKEN"})
		git(t, t.TempDir(), env, "ls-remote", ours.URL+"/acme/web.git")
		out, err := gitCommand(t, t.TempDir(), env, "ls-remote", theirs.URL+"/acme/web.git").CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "terminal prompts disabled", "git fails without a prompt")
		require.Empty(t, theirs.passwords())
		before := theirs.requested()

		away := httptest.NewServer(http.RedirectHandler(theirs.URL+"/acme/web.git/info/refs?service=git-upload-pack", http.StatusFound))
		defer away.Close()
		env = gitJobEnviron(t, s, GitCredential{URL: away.URL, Secret: "GITHUB_TOKEN"})
		require.Error(t, gitCommand(t, t.TempDir(), env, "ls-remote", away.URL+"/acme/web.git").Run())
		require.Greater(t, theirs.requested(), before, "git has followed the redirect")
		require.Empty(t, theirs.passwords(), "a host that our host redirects to gets no password either")
	})

	t.Run("is served without the helpers of the machine", func(t *testing.T) {
		s, put := openSocket(t, "GITHUB_TOKEN")
		put("GITHUB_TOKEN", "the token", time.Time{})
		server := newGitServer(t, "the token")
		home := t.TempDir()
		seen := filepath.Join(home, "seen")
		config := "[credential]\n\thelper = \"!echo asked >>'" + seen + "'; cat >>'" + seen + "'; echo username=x-access-token; echo password=old; :\"\n"
		require.NoError(t, os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600))

		env := gitJobEnviron(t, s, GitCredential{URL: server.URL, Secret: "GITHUB_TOKEN"})
		git(t, home, env, "ls-remote", server.URL+"/acme/web.git")
		require.NoFileExists(t, seen, "a helper of the machine must not get the token")
		require.NotContains(t, server.passwords(), "old")

		require.Error(t, gitCommand(t, home, nil, "ls-remote", server.URL+"/acme/web.git").Run())
		require.FileExists(t, seen, "without our variables, git runs the helper")
	})

	t.Run("gets the secret of the narrower URL", func(t *testing.T) {
		s, put := openSocket(t, "WIDE", "NARROW")
		put("WIDE", "the wide one", time.Time{})
		put("NARROW", "the narrow one", time.Time{})
		server := newGitServer(t, "the narrow one")
		env := gitJobEnviron(t, s, GitCredential{URL: server.URL + "/acme", Secret: "NARROW"}, GitCredential{URL: server.URL, Secret: "WIDE"})
		git(t, t.TempDir(), env, "ls-remote", server.URL+"/acme/web.git")
		require.NotContains(t, server.passwords(), "the wide one")

		server.changePassword("none")
		require.Error(t, gitCommand(t, t.TempDir(), env, "ls-remote", server.URL+"/other/web.git").Run())
		require.Contains(t, server.passwords(), "the wide one")
		require.NotContains(t, server.passwords(), "the narrow one")
	})
}

// gitJobEnviron returns the variables of a job with these credentials.
func gitJobEnviron(t *testing.T, s *socket.Server, creds ...GitCredential) []string {
	t.Helper()
	runner, err := os.Executable()
	require.NoError(t, err)
	env, err := gitEnviron(creds, []string{runner, "git-credential"})
	require.NoError(t, err)
	// By default, the race detector delays the end of a program by a second.
	return append(env, socket.Variable+"="+s.Path(), "GORACE=atexit_sleep_ms=0")
}
