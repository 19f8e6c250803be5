//go:build unix

package job_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/internal/testenv"
	"github.com/satchelhq/satchel/job"
)

func TestJob_Run(t *testing.T) {
	t.Run("returns the exit code of the program", func(t *testing.T) {
		c, _ := jobClient(t)
		for script, want := range map[string]int{
			"exit 0": 0, "exit 1": 1, "exit 42": 42, "exit 255": 255,
			"kill -TERM $$": 128 + 15, "kill -KILL $$": 128 + 9, "kill -INT $$": 128 + 2, "kill -USR1 $$": 128 + int(syscall.SIGUSR1),
			"exit 143": 143,
		} {
			code, _ := runs(t, shell(c, script, nil))
			require.Equal(t, want, code, script)
		}
	})

	t.Run("returns 126 or 127 and an error if the program cannot start", func(t *testing.T) {
		c, _ := jobClient(t)
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "plain"), []byte("text"), 0o600))
		for path, want := range map[string]int{
			"no-such-program-anywhere":   127,
			filepath.Join(dir, "absent"): 127,
			filepath.Join(dir, "plain"):  126,
			dir:                          126,
		} {
			code, err := job.Job{Client: c, Path: path}.Run(t.Context())
			require.ErrorContains(t, err, "running the job: ")
			require.Equal(t, want, code, path)
		}
	})

	t.Run("starts nothing if the context is done", func(t *testing.T) {
		c, _ := jobClient(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ran := filepath.Join(t.TempDir(), "ran")
		code, err := shell(c, "touch "+ran, nil).Run(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, -1, code)
		require.NoFileExists(t, ran)
	})

	t.Run("terminates the program when the context is done", func(t *testing.T) {
		c, _ := jobClient(t)
		r := begin(t, shell(c, `trap 'echo cleaning up; exit 9' TERM; echo ready; while ! read line; do :; done; echo never`, nil))
		r.await(t, "ready")
		r.cancel()
		require.Equal(t, 9, r.ends(t), "the job returns its own code, without an error")
		require.Equal(t, "ready\ncleaning up\n", r.String())
	})

	t.Run("kills a program that ignores SIGTERM after the grace period", func(t *testing.T) {
		c, _ := jobClient(t)
		j := shell(c, `trap '' TERM; echo ready; while :; do read line; done`, nil)
		j.Grace = 50 * time.Millisecond
		r := begin(t, j)
		r.await(t, "ready")
		r.cancel()
		require.Equal(t, 137, r.ends(t))
	})
}

// inOwnGroup skips a test if jobs stay in a terminal's foreground.
func inOwnGroup(t *testing.T) {
	t.Helper()
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return
	}
	require.NoError(t, tty.Close())
	testenv.Lacks(t, "this process has a controlling terminal: run the full tests without one, for example with setsid")
}

func TestEnd_Group(t *testing.T) {
	t.Run("leaves nothing of the group running", func(t *testing.T) {
		inOwnGroup(t)
		c, _ := jobClient(t)
		for name, script := range map[string]string{
			"in the background":     `sleep 1000 >/dev/null 2>&1 & echo $!; exit 4`,
			"with the job's output": `sleep 1000 & echo $!; exit 4`,
			"without a parent":      `mkfifo up; (sh -c 'trap "" TERM; echo $$; echo >up; exec >/dev/null 2>&1; while :; do sleep 1000; done' &); read line <up; exit 4`,
			"with signals ignored":  `mkfifo up; sh -c 'trap "" TERM HUP INT; echo $$; echo >up; while :; do sleep 1000; done' & read line <up; exit 4`,
		} {
			j := shell(c, script, nil)
			j.Dir = t.TempDir()
			code, out := runs(t, j)
			require.Equal(t, 4, code, name)
			leaktest.Eventually(t, "the process is gone "+name, func() bool { return !alive(t, out) })
		}
	})

	t.Run("terminates and then kills the group", func(t *testing.T) {
		inOwnGroup(t)
		c, _ := jobClient(t)
		j := shell(c, `trap 'exit 9' TERM
		sh -c 'trap "echo child cleaning up; exit" TERM; echo one; while :; do sleep 0.01; done' &
		while :; do sleep 0.01; done`, nil)
		j.Grace = time.Minute
		r := begin(t, j)
		r.await(t, "one")
		r.cancel()
		require.Equal(t, 9, r.ends(t))
		require.Contains(t, r.String(), "child cleaning up\n", "the rest of the group has the rest of the grace period")

		j = shell(c, `trap '' TERM; sh -c 'echo "pid $$"; while :; do sleep 0.01; done' & while :; do sleep 0.01; done`, nil)
		j.Grace = 50 * time.Millisecond
		r = begin(t, j)
		r.await(t, "pid ")
		r.cancel()
		require.Equal(t, 137, r.ends(t))
		pid := r.between("pid ", "\n")
		leaktest.Eventually(t, "a process that ignores SIGTERM is gone", func() bool { return !alive(t, pid) })
	})

	t.Run("does not wait for a process that has left it and holds the output", func(t *testing.T) {
		testenv.Program(t, "setsid")
		inOwnGroup(t)
		c, _ := jobClient(t)
		j := shell(c, `mkfifo up; setsid sh -c 'echo $$; echo >up; exec sleep 1000' & read line <up; echo last words; exit 6`, nil)
		j.Dir = t.TempDir()
		code, out := runs(t, j)
		pid, rest, _ := strings.Cut(out, "\n")
		lives := alive(t, pid)
		require.NoError(t, syscall.Kill(atoi(t, pid), syscall.SIGKILL))
		require.True(t, lives, "a process that has left the group goes on")
		require.Equal(t, 6, code)
		require.Equal(t, "last words\n", rest, "the content of the pipe is written")
	})
}

func TestEnd_Files(t *testing.T) {
	t.Run("are private, in memory, and removed at the end", func(t *testing.T) {
		c, _ := jobClient(t, delivered("KEY", "line one of it\nline two of it\n", bundle.DeliverFile))
		r := begin(t, shell(c, `echo "path $KEY_FILE end"; [ -z "$KEY" ] && echo unset; cat "$KEY_FILE"; while ! read line; do :; done`, nil, "KEY"))
		r.await(t, "unset")
		path := r.between("path ", " end")
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode(), "a private file")
		info, err = os.Stat(filepath.Dir(path))
		require.NoError(t, err)
		require.Equal(t, fs.ModeDir|0o700, info.Mode(), "in a private directory")
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "line one of it\nline two of it\n", string(content), "the file has the unchanged value")
		require.True(t, inMemory(t, filepath.Dir(path)), "on tmpfs if possible")
		r.say(t, "go")
		require.Zero(t, r.ends(t))
		require.NoDirExists(t, filepath.Dir(path))
		require.NotContains(t, r.String(), "line one of it", "the value of a file is masked too")

		r = begin(t, shell(c, `echo "path $KEY_FILE end"; exec sleep 1000`, nil, "KEY"))
		r.await(t, " end")
		path = r.between("path ", " end")
		r.cancel()
		require.Equal(t, 143, r.ends(t))
		require.NoDirExists(t, filepath.Dir(path), "also when the context ends the job")
	})

	t.Run("do not remain if the program cannot start", func(t *testing.T) {
		// Separate directories: other tests have files in the usual ones.
		places := []string{t.TempDir()}
		t.Setenv("TMPDIR", places[0])
		if memory, err := os.MkdirTemp("/dev/shm", "test-"); err == nil {
			t.Cleanup(func() { require.NoError(t, os.RemoveAll(memory)) })
			t.Setenv("XDG_RUNTIME_DIR", memory)
			places = append(places, memory)
		}
		count := func() (n int) {
			for _, place := range places {
				found, err := os.ReadDir(place)
				require.NoError(t, err)
				n += len(found)
			}
			return n
		}
		c, _ := jobClient(t, delivered("KEY", "value-of-key", bundle.DeliverFile))
		code, err := job.Job{Client: c, Path: "no-such-program-anywhere", Secrets: []string{"KEY"}, Socket: true}.Run(t.Context())
		require.Error(t, err)
		require.Equal(t, 127, code)
		require.Zero(t, count())

		r := begin(t, shell(c, "echo ready; read line", nil, "KEY"))
		r.await(t, "ready")
		require.Equal(t, 1, count(), "a job that starts must have its files in one of these, or the test proves nothing")
		r.say(t, "go")
		require.Zero(t, r.ends(t))
		require.Zero(t, count())
	})
}

func TestEnd_Leaks(t *testing.T) {
	c, s := jobClient(t, delivered("KEY", "value-of-key", bundle.DeliverFile), secret("A", "value-of-a"))
	live := func(value string) {
		j := shell(c, `trap 'exit 0' TERM; echo ready $A; while ! read line; do :; done`, nil, "A", "KEY")
		j.OnRotate, j.RestartDelay, j.Socket = job.Restart, time.Millisecond, true
		r := begin(t, j)
		r.await(t, "ready")
		refreshTo(t, c, s, bundleOf(delivered("KEY", value, bundle.DeliverFile), secret("A", value)))
		leaktest.Eventually(t, "the job is restarted", func() bool { return strings.Count(r.String(), "ready") == 2 })
		r.cancel()
		require.Zero(t, r.ends(t))
		require.NoError(t, r.stdin.Close())
		j.Stdin, j.OnRotate = strings.NewReader("go\n"), job.Leave
		code, _ := runs(t, j)
		require.Zero(t, code)
		j.Path = "no-such-program-anywhere"
		_, err := j.Run(t.Context())
		require.Error(t, err)
	}
	live("value-0")
	files, goroutines := leaktest.OpenFiles(t), runtime.NumGoroutine()
	for i := range 5 {
		live("value-of-" + itoa(i))
	}
	leaktest.Eventually(t, "no file stays open", func() bool { return leaktest.OpenFiles(t) <= files })
	leaktest.Eventually(t, "no goroutine stays", func() bool { return runtime.NumGoroutine() <= goroutines })
}
