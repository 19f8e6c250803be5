package regularfile

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/testenv"
)

// asUser calls f as another user. On Linux, a thread has its own user.
func asUser(t *testing.T, uid int, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0))
		if errno != 0 {
			done <- errno
			return
		}
		f()
		done <- nil
	}()
	require.NoError(t, <-done)
}

func TestReadPrivate_OtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		testenv.Lacks(t, "only root can give a file to another user")
	}
	const other, third = 65534, 12345
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(t, os.Chmod(dir, 0o777))
	path := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	_, err := ReadPrivate(path, 8)
	require.NoError(t, err, "root's own file")

	require.NoError(t, os.Chown(path, other, other))
	_, err = ReadPrivate(path, 8)
	requireFault(t, err, path+" belongs to another user, with uid 65534; this process has uid 0; run chown 0 on it, or run this program as its owner")
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(path, link))
	_, err = ReadPrivate(link, 8)
	requireFault(t, err, link+" belongs to another user, with uid 65534; this process has uid 0; run chown 0 on it, or run this program as its owner")

	asUser(t, other, func() { _, err = ReadPrivate(path, 8) })
	require.NoError(t, err, "the effective user's file")
	asUser(t, third, func() { _, err = ReadPrivate(path, 8) })
	requireFault(t, err, path+" belongs to another user, with uid 65534; this process has uid 12345; run chown 12345 on it, or run this program as its owner")
}
