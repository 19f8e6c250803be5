package socket

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/satchelhq/satchel/internal/testenv"
)

// dialAs opens a connection to a unix socket as another user. On Linux, a thread has
// its own user; this thread keeps it until it ends.
func dialAs(uid int, address string) (net.Conn, error) {
	type dialed struct {
		conn net.Conn
		err  error
	}
	answer := make(chan dialed)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			answer <- dialed{nil, errno}
			return
		}
		conn, err := net.Dial("unix", address)
		answer <- dialed{conn, err}
	}()
	d := <-answer
	return d.conn, d.err
}

func TestServe_OtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		testenv.Lacks(t, "only root can connect as another user")
	}
	var v served
	v.put("TOKEN", "value", time.Time{})
	var log bytes.Buffer
	s := openSocket(t, &log, v.lookup, "TOKEN")
	const otherUID = 65534
	_, err := dialAs(otherUID, s.Path())
	require.ErrorIs(t, err, os.ErrPermission, "the file's mode excludes other users already")

	require.NoError(t, os.Chmod(s.Path(), 0o666))
	require.NoError(t, os.Chmod(filepath.Dir(s.Path()), 0o755))
	conn, err := dialAs(otherUID, s.Path())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, _ = conn.Write([]byte("GET /secrets/TOKEN HTTP/1.1\r\nHost: satchel\r\n\r\n"))
	n, err := conn.Read(make([]byte, 1))
	require.Zero(t, n, "another user gets no response")
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is closed immediately")

	secret, err := Ask(t.Context(), s.Path(), "TOKEN")
	require.NoError(t, err, "this user is still served")
	require.Equal(t, "value", secret.Value.Reveal())
	require.NoError(t, s.Close())
	require.Contains(t, log.String(), "refused a process of another user")
	require.Contains(t, log.String(), "uid=65534")
}
