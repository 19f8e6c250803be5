//go:build unix

package job_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/satchelhq/satchel/job"
)

// tries is a script that prints the descriptors above 2 that it has.
const tries = `n=3; while [ $n -le 400 ]; do [ ! -e /dev/fd/$n ] || echo "open $n"; n=$((n+1)); done; echo tried`

func TestInheritNothing(t *testing.T) {
	t.Run("closes what this process was started with", func(t *testing.T) {
		private := filepath.Join(t.TempDir(), "private")
		require.NoError(t, os.WriteFile(private, []byte("canary of the runner"), 0o600))
		readable, err := os.Open(private)
		require.NoError(t, err)
		defer readable.Close()
		there, here, err := os.Pipe()
		require.NoError(t, err)
		defer there.Close()
		defer here.Close()
		r := startRunner(t, tries, func(cmd *exec.Cmd) {
			cmd.ExtraFiles = []*os.File{readable, here, nil, readable}
			cmd.ExtraFiles = append(append(cmd.ExtraFiles, make([]*os.File, 30)...), readable)
		})
		first, err := r.lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "tried\n", first)
		require.Equal(t, " 0 error <nil>", r.expect(t, "runner: code"))
	})

	t.Run("closes what other code left open", func(t *testing.T) {
		null, err := syscall.Open(os.DevNull, syscall.O_RDWR, 0) // without close-on-exec, as in C
		require.NoError(t, err)
		defer func() { require.NoError(t, syscall.Close(null)) }()
		high, err := unix.FcntlInt(uintptr(null), unix.F_DUPFD, 39)
		require.NoError(t, err)
		defer func() { require.NoError(t, syscall.Close(high)) }()
		c, _ := jobClient(t, secret("A", "value-of-a"))
		j := shell(c, tries+"; cat", nil, "A")
		j.Files, j.Socket, j.Stdin = []string{"A"}, true, strings.NewReader("copied")
		_, out := runs(t, j)
		require.Equal(t, "tried\ncopied", out)
	})

	t.Run("leaves this process and its other commands as they are", func(t *testing.T) {
		null, err := syscall.Open(os.DevNull, syscall.O_RDWR, 0)
		require.NoError(t, err)
		defer func() { require.NoError(t, syscall.Close(null)) }()
		theirs, ours, err := os.Pipe()
		require.NoError(t, err)
		defer theirs.Close()
		c, _ := jobClient(t)
		code, err := job.Job{Client: c, Path: "true"}.Run(t.Context())
		require.NoError(t, err)
		require.Zero(t, code)
		flags, err := unix.FcntlInt(uintptr(null), unix.F_GETFD, 0)
		require.NoError(t, err)
		require.Zero(t, flags&unix.FD_CLOEXEC, "a descriptor that this process passes on stays inheritable")
		cmd := exec.Command("sh", "-c", "echo passed >&3")
		cmd.ExtraFiles = []*os.File{ours}
		require.NoError(t, cmd.Run())
		require.NoError(t, ours.Close())
		text, err := io.ReadAll(theirs)
		require.NoError(t, err)
		require.Equal(t, "passed\n", string(text))
	})
}

func TestHighestDescriptor(t *testing.T) {
	null, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, syscall.Close(null)) }()
	high, err := unix.FcntlInt(uintptr(null), unix.F_DUPFD_CLOEXEC, 345)
	require.NoError(t, err)
	defer func() { require.NoError(t, syscall.Close(high)) }()
	// Each job then starts with that many descriptors closed, and with its own ones.
	c, _ := jobClient(t)
	_, out := runs(t, shell(c, tries+"; echo error >&2", nil))
	require.ElementsMatch(t, []string{"tried", "error"}, strings.Fields(out), "both outputs are there, in any order")
}
