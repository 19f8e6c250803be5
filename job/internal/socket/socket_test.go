//go:build linux || darwin

package socket

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/testenv"
)

// served has the secrets of a socket, which a test can change.
type served struct {
	mu      sync.Mutex
	secrets map[string]bundle.Secret
}

func (s *served) put(name, value string, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secrets == nil {
		s.secrets = map[string]bundle.Secret{}
	}
	s.secrets[name] = bundle.Secret{Name: name, Value: bundle.NewValue(value), Expires: expires, Origin: bundle.Origin{Provider: "test"}}
}

func (s *served) lookup(name string) (bundle.Secret, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret, ok := s.secrets[name]
	return secret, ok
}

// shortDir returns a directory with a path short enough for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// openSocket serves the named secrets until the test ends.
func openSocket(t *testing.T, log io.Writer, lookup func(string) (bundle.Secret, bool), names ...string) *Server {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := Serve(shortDir(t), names, lookup, logger)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// exchange sends one request to the socket.
func exchange(t *testing.T, s *Server, method, url string) (*http.Response, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.Path())
		},
	}}
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

func TestServe(t *testing.T) {
	t.Run("serves the current value", func(t *testing.T) {
		var v served
		v.put("TOKEN", "first", time.Time{})
		s := openSocket(t, io.Discard, v.lookup, "TOKEN")
		response, body := exchange(t, s, "GET", "http://satchel/secrets/TOKEN")
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Equal(t, "first", body, "the unchanged value, without a line break")
		require.Equal(t, "application/octet-stream", response.Header.Get("Content-Type"))
		require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
		require.Empty(t, response.Header.Values(expiresHeader))

		ends := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
		v.put("TOKEN", "second\nof two lines\n", ends)
		response, body = exchange(t, s, "GET", "http://satchel/secrets/TOKEN")
		require.Equal(t, "second\nof two lines\n", body, "the response has the current value")
		require.Equal(t, "2031-05-06T07:08:09Z", response.Header.Get(expiresHeader))

		v.put("TOKEN", "", time.Time{})
		response, body = exchange(t, s, "GET", "http://satchel/secrets/TOKEN")
		require.Equal(t, http.StatusOK, response.StatusCode, "an empty value is served")
		require.Empty(t, body)
	})

	t.Run("serves curl", func(t *testing.T) {
		curl := testenv.Program(t, "curl")
		var v served
		v.put("TOKEN", "from a shell", time.Time{})
		s := openSocket(t, io.Discard, v.lookup, "TOKEN")
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", curl+` -sSf --unix-socket "$SATCHEL_SOCKET" http://satchel/secrets/TOKEN`)
		cmd.Env = []string{Variable + "=" + s.Path()}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Equal(t, "from a shell", string(out))
	})

	t.Run("responds alike to every name it does not serve", func(t *testing.T) {
		var v served
		v.put("MINE", "1", time.Time{})
		v.put("OTHERS", "2", time.Time{})
		s := openSocket(t, io.Discard, v.lookup, "MINE", "GONE")
		responses := map[string]bool{}
		for _, path := range []string{"OTHERS", "NONE", "GONE", "", "MINE/", "mine", "%4dINE%00"} {
			response, body := exchange(t, s, "GET", "http://satchel/secrets/"+path)
			require.Equal(t, http.StatusNotFound, response.StatusCode, path)
			response.Header.Del("Date")
			var header bytes.Buffer
			require.NoError(t, response.Header.Write(&header))
			responses[header.String()+body] = true
		}
		require.Len(t, responses, 1, "the response is the same for another job's secret and a missing one")
		response, _ := exchange(t, s, "GET", "http://satchel/")
		require.Equal(t, http.StatusNotFound, response.StatusCode, "the socket serves no list")
	})

	t.Run("accepts only GET for its host", func(t *testing.T) {
		var v served
		v.put("TOKEN", "s3cret", time.Time{})
		s := openSocket(t, io.Discard, v.lookup, "TOKEN")
		for _, method := range []string{"HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "MADEUP"} {
			response, body := exchange(t, s, method, "http://satchel/secrets/TOKEN")
			require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode, method)
			require.Equal(t, "GET", response.Header.Get("Allow"), method)
			require.NotContains(t, body, "s3cret")
		}
		for _, host := range []string{"localhost", "satchel.example.com", "satchel:80"} {
			response, body := exchange(t, s, "GET", "http://"+host+"/secrets/TOKEN")
			require.Equal(t, http.StatusMisdirectedRequest, response.StatusCode, host)
			require.NotContains(t, body, "s3cret")
		}
	})

	t.Run("makes a private socket and removes it", func(t *testing.T) {
		var v served
		dir := shortDir(t)
		s, err := Serve(dir, nil, v.lookup, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.Equal(t, filepath.Join(dir, "satchel.sock"), s.Path())
		info, err := os.Stat(s.Path())
		require.NoError(t, err)
		require.Equal(t, os.ModeSocket|0o600, info.Mode())
		_, err = Serve(dir, nil, v.lookup, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, "address already in use", "a second server must not replace the first")
		require.NoError(t, s.Close())
		_, err = os.Stat(s.Path())
		require.ErrorIs(t, err, os.ErrNotExist)
		_ = s.Close() // a second call has no effect
	})

	t.Run("limits concurrent requests", func(t *testing.T) {
		var v served
		v.put("TOKEN", "value", time.Time{})
		var inside, most atomic.Int32
		s := openSocket(t, io.Discard, func(name string) (bundle.Secret, bool) {
			defer inside.Add(-1)
			for n := inside.Add(1); ; {
				if before := most.Load(); n <= before || most.CompareAndSwap(before, n) {
					break
				}
			}
			time.Sleep(20 * time.Millisecond) // lets other requests arrive
			return v.lookup(name)
		}, "TOKEN")
		var group sync.WaitGroup
		for range 3 * maxPeers {
			group.Go(func() {
				secret, err := Ask(t.Context(), s.Path(), "TOKEN")
				if err != nil || secret.Value.Reveal() != "value" {
					t.Errorf("a request failed with %v", err)
				}
			})
		}
		group.Wait()
		require.LessOrEqual(t, int(most.Load()), maxPeers)
		require.Greater(t, int(most.Load()), 1, "requests are served concurrently")
	})

	t.Run("frees the place of a silent connection when it closes", func(t *testing.T) {
		var v served
		v.put("TOKEN", "value", time.Time{})
		s := openSocket(t, io.Discard, v.lookup, "TOKEN")
		for range 2 * maxPeers {
			conn, err := net.Dial("unix", s.Path())
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		}
		_, err := Ask(t.Context(), s.Path(), "TOKEN")
		require.NoError(t, err)
	})

	t.Run("limits the size of headers", func(t *testing.T) {
		var v served
		s := openSocket(t, io.Discard, v.lookup)
		conn, err := net.Dial("unix", s.Path())
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "GET /secrets/TOKEN HTTP/1.1\r\nHost: satchel\r\nX: "+strings.Repeat("x", 16<<10)+"\r\n\r\n")
		if err == nil { // or the connection was closed during the write
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			response.Body.Close()
			require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
		}
	})

	t.Run("rejects a path that is too long", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), strings.Repeat("d", maxPath))
		require.NoError(t, os.Mkdir(dir, 0o700))
		_, err := Serve(dir, nil, nil, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, "the limit for a unix socket is 103; use a shorter directory")

		base := shortDir(t)
		dir = filepath.Join(base, strings.Repeat("d", maxPath-len(base)-len("//satchel.sock")))
		require.NoError(t, os.Mkdir(dir, 0o700))
		s, err := Serve(dir, nil, nil, slog.New(slog.DiscardHandler))
		require.NoError(t, err, "a path of the maximum length works")
		require.Len(t, s.Path(), maxPath)
		require.NoError(t, s.Close())
	})

	t.Run("logs names and no values", func(t *testing.T) {
		var log bytes.Buffer
		var v served
		v.put("TOKEN", "c4n4ry-in-the-m1ne", time.Time{})
		s := openSocket(t, &log, v.lookup, "TOKEN")
		_, body := exchange(t, s, "GET", "http://satchel/secrets/TOKEN")
		require.Equal(t, "c4n4ry-in-the-m1ne", body)
		exchange(t, s, "GET", "http://satchel/secrets/NONE")
		require.NoError(t, s.Close())
		require.Contains(t, log.String(), "name=TOKEN")
		require.NotContains(t, log.String(), "c4n4ry")
	})
}

func TestServer_Close(t *testing.T) {
	stacks := func() int {
		buffer := make([]byte, 1<<20)
		return strings.Count(string(buffer[:runtime.Stack(buffer, true)]), "Server")
	}
	var v served
	v.put("TOKEN", "value", time.Time{})
	before := stacks()
	entered, leave := make(chan struct{}), make(chan struct{})
	s, err := Serve(shortDir(t), []string{"TOKEN"}, func(name string) (bundle.Secret, bool) {
		close(entered)
		<-leave
		return v.lookup(name)
	}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	idle, err := net.Dial("unix", s.Path()) // sends nothing
	require.NoError(t, err)
	defer idle.Close()
	busy, err := net.Dial("unix", s.Path())
	require.NoError(t, err)
	defer busy.Close()
	_, err = io.WriteString(busy, "GET /secrets/TOKEN HTTP/1.1\r\nHost: satchel\r\n\r\n")
	require.NoError(t, err)
	<-entered
	require.Greater(t, stacks(), before, "running goroutines must be found, or the test proves nothing")
	var closed atomic.Bool
	var group sync.WaitGroup
	group.Go(func() {
		_ = s.Close()
		closed.Store(true)
	})
	_, err = io.ReadAll(busy)
	require.False(t, closed.Load(), "Close waits for a call of lookup under way")
	close(leave)
	group.Wait()
	for begin := time.Now(); stacks() != before; time.Sleep(time.Millisecond) { // goroutines may take a moment to return
		require.Less(t, time.Since(begin), 20*time.Second, "no goroutine is left: %v", err)
	}
}

func TestAsk(t *testing.T) {
	t.Run("reports the cause of a failure", func(t *testing.T) {
		var v served
		v.put("TOKEN", "value", time.Now().Add(time.Hour))
		s := openSocket(t, io.Discard, v.lookup, "TOKEN")
		secret, err := Ask(t.Context(), s.Path(), "TOKEN")
		require.NoError(t, err)
		require.Equal(t, "value", secret.Value.Reveal())
		require.WithinDuration(t, time.Now().Add(time.Hour), secret.Expires, time.Minute)

		_, err = Ask(t.Context(), s.Path(), "OTHER")
		require.ErrorContains(t, err, "requesting OTHER from the socket "+s.Path()+": the job has no such secret; add it to the job's secrets")
		require.NoError(t, s.Close())
		_, err = Ask(t.Context(), s.Path(), "TOKEN")
		require.ErrorContains(t, err, "the runner serves it while the job runs")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = Ask(ctx, s.Path(), "TOKEN")
		require.ErrorIs(t, err, context.Canceled)
	})

	t.Run("limits the length of a value", func(t *testing.T) {
		var v served
		v.put("LONGEST", strings.Repeat("x", maxValue), time.Time{})
		v.put("LONGER", strings.Repeat("x", maxValue+1), time.Time{})
		s := openSocket(t, io.Discard, v.lookup, "LONGEST", "LONGER")
		secret, err := Ask(t.Context(), s.Path(), "LONGEST")
		require.NoError(t, err)
		require.Len(t, secret.Value.Reveal(), maxValue)
		_, err = Ask(t.Context(), s.Path(), "LONGER")
		require.ErrorContains(t, err, "longer than 1048576 bytes")
	})
}
