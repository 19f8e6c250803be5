//go:build unix && !aix

package job_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/job"
)

// jobPlaces gives this process separate places for the directories of jobs.
func jobPlaces(t *testing.T) []string {
	t.Helper()
	places := []string{t.TempDir()}
	t.Setenv("TMPDIR", places[0])
	t.Setenv("XDG_RUNTIME_DIR", "")
	if memory, err := os.MkdirTemp("/dev/shm", "test-"); err == nil {
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(memory)) })
		t.Setenv("XDG_RUNTIME_DIR", memory)
		places = append([]string{memory}, places...)
	}
	return places
}

// jobDirs returns the directories of jobs in a place.
func jobDirs(t *testing.T, place string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(place, "satchel-job-*"))
	require.NoError(t, err)
	return found
}

// leftover makes a directory as a killed runner leaves it.
func leftover(t *testing.T, place, name string) string {
	t.Helper()
	path := filepath.Join(place, "satchel-job-"+name)
	require.NoError(t, os.Mkdir(path, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(path, "KEY"), []byte("value-of-key"), 0o600))
	return path
}

func TestSweep(t *testing.T) {
	runAny := func(t *testing.T) string {
		t.Helper()
		c, _ := jobClient(t)
		var log transcript
		code, err := job.Job{Client: c, Path: "true", Logger: logTo(&log)}.Run(t.Context())
		require.NoError(t, err)
		require.Zero(t, code)
		return log.String()
	}

	t.Run("removes what killed runners left, even for a job without files", func(t *testing.T) {
		for _, place := range jobPlaces(t) {
			left := leftover(t, place, "ABCDEFGHIJKLMN22")
			changed := leftover(t, place, "ABCDEFGHIJKLMN33")
			require.NoError(t, os.Mkdir(filepath.Join(changed, "inner"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(changed, "inner", "file"), nil, 0o600))
			require.NoError(t, os.Chmod(filepath.Join(changed, "inner"), 0o500))
			require.NoError(t, os.Chmod(changed, 0))
			log := runAny(t)
			require.NoDirExists(t, left)
			require.NoDirExists(t, changed, "even if its job has changed the permissions")
			require.Contains(t, log, "removed the files of a job whose runner was killed")
			require.Contains(t, log, left)
			require.NotContains(t, log, "value-of-key")
		}
	})

	t.Run("leaves a running job's directory", func(t *testing.T) {
		place := jobPlaces(t)[0]
		r := startRunner(t, `echo "path $KEY_FILE"; `+waits, nil)
		path := r.expect(t, "path ")
		require.Equal(t, place, filepath.Dir(filepath.Dir(path)))
		runAny(t)
		require.FileExists(t, path)
		c, _ := jobClient(t, delivered("KEY", "value-of-key", bundle.DeliverFile))
		own := begin(t, shell(c, `echo "path $KEY_FILE end"; read line`, nil, "KEY"))
		own.await(t, " end")
		runAny(t)
		require.FileExists(t, own.between("path ", " end"), "also one of this process")
		own.say(t, "go")
		require.Zero(t, own.ends(t))
		r.sends(t, syscall.SIGTERM)
		require.Equal(t, 143, r.ends(t).ExitStatus())
		require.Empty(t, jobDirs(t, place))
	})

	t.Run("leaves everything that is not such a directory", func(t *testing.T) {
		for _, place := range jobPlaces(t) {
			elsewhere := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(elsewhere, "KEY"), []byte("mine"), 0o600))
			kept := []string{
				leftover(t, place, "data"),
				leftover(t, place, "abcdefghijklmn22"),
				leftover(t, place, "ABCDEFGHIJKLMN22.bak"),
			}
			link := filepath.Join(place, "satchel-job-ABCDEFGHIJKLMN44")
			require.NoError(t, os.Symlink(elsewhere, link))
			file := filepath.Join(place, "satchel-job-ABCDEFGHIJKLMN55")
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			pipe := filepath.Join(place, "satchel-job-ABCDEFGHIJKLMN66")
			require.NoError(t, syscall.Mkfifo(pipe, 0o600))
			swept := leftover(t, place, "ABCDEFGHIJKLMN77")
			require.NoError(t, os.Symlink(elsewhere, filepath.Join(swept, "link")))
			if os.Geteuid() == 0 {
				others := leftover(t, place, "ABCDEFGHIJKLMN88")
				require.NoError(t, os.Chown(others, 65534, 65534))
				kept = append(kept, others)
			}
			require.NotContains(t, runAny(t), "cannot remove")
			for _, path := range kept {
				require.FileExists(t, filepath.Join(path, "KEY"))
			}
			for path, kind := range map[string]fs.FileMode{link: fs.ModeSymlink, file: 0, pipe: fs.ModeNamedPipe} {
				info, err := os.Lstat(path)
				require.NoError(t, err)
				require.Equal(t, kind, info.Mode().Type(), path)
			}
			require.NoDirExists(t, swept)
			require.FileExists(t, filepath.Join(elsewhere, "KEY"), "links are not followed")
		}
	})

	t.Run("does not disturb jobs that start meanwhile", func(t *testing.T) {
		places := jobPlaces(t)
		c, _ := jobClient(t, delivered("KEY", "value-of-key", bundle.DeliverFile))
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 10 {
					var out transcript
					code, err := shell(c, `cat "$KEY_FILE"; echo " $KEY_FILE"`, &out, "KEY").Run(t.Context())
					if err != nil || code != 0 || !strings.HasPrefix(out.String(), "[KEY] "+places[0]) {
						t.Errorf("code %d, error %v, output %q", code, err, out.String())
					}
				}
			})
		}
		group.Wait()
		for _, place := range places {
			require.Empty(t, jobDirs(t, place))
		}
	})
}

func TestSweep_Killed(t *testing.T) {
	place := jobPlaces(t)[0]
	r := startRunner(t, family+waits, func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} })
	left := r.family(t)
	dir := filepath.Dir(left.path)
	children, err := exec.Command("sh", "-c", `ps -A -o pid= -o ppid= -o args= | while read pid parent args; do
		[ "$parent" != "$0" ] || case $args in *satchel-job-guard) echo "$pid" ;; esac; done`, itoa(r.cmd.Process.Pid)).Output()
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(atoi(t, string(children)), syscall.SIGKILL))
	r.sends(t, syscall.SIGKILL)
	r.ends(t)
	require.FileExists(t, left.path, "without its guard, the job's file stays")
	require.NoError(t, syscall.Kill(atoi(t, left.child), syscall.SIGKILL))

	c, _ := jobClient(t, delivered("KEY", "value-of-key", bundle.DeliverFile))
	next := begin(t, shell(c, `echo "path $KEY_FILE end"; read line`, nil, "KEY"))
	next.await(t, " end")
	require.NoDirExists(t, dir, "the next job removes it before it runs")
	require.Len(t, jobDirs(t, place), 1)
	next.say(t, "go")
	require.Zero(t, next.ends(t))
	leaktest.Eventually(t, "nothing is left", func() bool { return len(jobDirs(t, place)) == 0 })
}
