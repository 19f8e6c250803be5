//go:build linux || darwin

package job

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// cue is a buffer that calls act, once, when it contains text.
type cue struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	text string
	act  func()
}

func (c *cue) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.buf.Write(p)
	if c.act != nil && strings.Contains(c.buf.String(), c.text) {
		c.act()
		c.act = nil
	}
	return n, err
}

func TestJob_Git(t *testing.T) {
	source := values{"GITHUB_TOKEN": "token of the first hour"}
	client, err := satchel.New(t.Context(), []bundle.Provider{source}, &satchel.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	server := newGitServer(t, source["GITHUB_TOKEN"])
	theirs, ours, err := os.Pipe()
	require.NoError(t, err)
	defer func() { require.NoError(t, theirs.Close()) }()
	out := &cue{text: "cloned", act: func() {
		server.commit(t, "second")
		source["GITHUB_TOKEN"] = "token of the second hour"
		if _, err := client.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		server.changePassword("token of the second hour")
		if err := ours.Close(); err != nil { // lets the job continue
			t.Error(err)
		}
	}}
	j := Job{
		Client: client, Path: "sh", Dir: t.TempDir(), Stdin: theirs, Stdout: out, Stderr: out,
		Args: []string{"-c", `set -e; git clone --quiet "$1/acme/web.git"; echo cloned; read line || true
			cd web; git fetch --quiet; git log --format=%s origin/main; env | grep -c 'token of' || true
			printf 'protocol=http\nhost=%s\n\n' "${1#http://}" | git credential fill | grep password`, "sh", server.URL},
		Env: []string{"HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GORACE=atexit_sleep_ms=0"},
		Git: []GitCredential{{URL: server.URL, Secret: "GITHUB_TOKEN"}},
	}
	code, err := j.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, "cloned\nsecond\nfirst\n0\npassword=[GITHUB_TOKEN]\n", out.buf.String(), "the environment has no token, and git's output is masked")
	require.Zero(t, code)
	for _, password := range server.passwords() {
		require.Equal(t, "token of the second hour", password)
	}
}
