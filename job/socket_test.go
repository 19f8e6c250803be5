//go:build linux || darwin

package job_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/job"
)

// asks sends a request to a job's socket, as curl would, and returns the status and
// the body.
func asks(t *testing.T, socket, name string) (int, string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://satchel/secrets/"+name, nil)
	require.NoError(t, err)
	res, err := transport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func TestJob_Socket(t *testing.T) {
	t.Run("serves the current secrets of the job", func(t *testing.T) {
		token, _ := wire.NewToken()
		c, s := jobClient(t, secret("A", "first-value"), secret("B", "not-the-jobs"), secret("G", "gits-value"))
		j := shell(c, `echo "socket $SATCHEL_SOCKET end"; read line; echo "$line"`, nil, "A")
		j.Socket = true
		r := begin(t, j)
		r.await(t, " end")
		socket := r.between("socket ", " end")
		status, body := asks(t, socket, "A")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "first-value", body)
		status, body = asks(t, socket, "B")
		require.Equal(t, http.StatusNotFound, status, "the secret is not the job's")
		require.NotContains(t, body, "not-the-jobs")

		refreshTo(t, c, s, bundleOf(secret("A", "second-value")))
		_, body = asks(t, socket, "A")
		require.Equal(t, "second-value", body)
		for _, unfit := range []bundle.Secret{secret("A", "x"+token), delivered("A", "third-value", bundle.DeliverBroker)} {
			refreshTo(t, c, s, bundleOf(unfit))
			status, body = asks(t, socket, "A")
			require.Equal(t, http.StatusNotFound, status, "secrets that must not reach a job are not served either")
			require.NotContains(t, body, token)
		}
		r.say(t, "got second-value")
		require.Zero(t, r.ends(t))
		require.Contains(t, r.String(), "got [A]\n", "a served value is masked")
		require.NoDirExists(t, filepath.Dir(socket))
	})

	t.Run("serves only git's secrets if only Git is set", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", "first-value"), secret("G", "gits-value"))
		j := shell(c, `echo "socket $SATCHEL_SOCKET end"; env | grep -c '^G='; env | grep GIT; read line`, nil, "A")
		j.Git = []job.GitCredential{{URL: "https://github.com/acme", Secret: "G"}}
		j.GitHelper = []string{"/opt/runner", "git-credential"}
		r := begin(t, j)
		r.await(t, " end")
		socket := r.between("socket ", " end")
		status, body := asks(t, socket, "G")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "gits-value", body)
		status, _ = asks(t, socket, "A")
		require.Equal(t, http.StatusNotFound, status)
		r.say(t, "go")
		require.Zero(t, r.ends(t))
		require.Contains(t, r.String(), " end\n0\n", "the secret is not in the environment")
		require.Contains(t, r.String(), "'/opt/runner' 'git-credential' 'https://github.com/acme'")
	})

	t.Run("is refused with an invalid git credential", func(t *testing.T) {
		c, _ := jobClient(t, secret("G", "gits-value"))
		j := shell(c, "echo ran", nil)
		j.Git = []job.GitCredential{{URL: "http://github.com", Secret: "G"}}
		require.Contains(t, refused(t, j), "github.com")
	})
}
