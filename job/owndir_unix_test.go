//go:build unix

package job_test

import (
	"errors"
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

func TestOwnDir(t *testing.T) {
	inOwn := func(t *testing.T, script string) (dir string, out *transcript) {
		t.Helper()
		c, _ := jobClient(t)
		out = new(transcript)
		j := shell(c, "pwd; ls -a; "+script, out)
		j.OwnDir = true
		code, err := j.Run(t.Context())
		require.NoError(t, err)
		require.Zero(t, code)
		dir, _, _ = strings.Cut(out.String(), "\n")
		return dir, out
	}

	t.Run("is empty, private and removed with its content", func(t *testing.T) {
		places := jobPlaces(t)
		dir, out := inOwn(t, "stat -c %a . 2>/dev/null || stat -f %Lp .; echo x >file; mkdir -p a/b; echo y >a/b/file; chmod 0500 a/b a; ln -s / link")
		require.Equal(t, dir+"\n.\n..\n700\n", out.String())
		real, err := filepath.EvalSymlinks(places[len(places)-1])
		require.NoError(t, err)
		require.Equal(t, real, filepath.Dir(dir), "it is on disk, in the directory for temporary files")
		require.NoDirExists(t, dir)
	})

	t.Run("is removed although the job changed it", func(t *testing.T) {
		place := jobPlaces(t)
		for _, script := range []string{"chmod 0 .", "rm -rf $PWD", "mkdir x; mv x ../moved; rmdir ../moved"} {
			dir, _ := inOwn(t, script)
			require.NoDirExists(t, dir, script)
		}
		require.Empty(t, jobDirs(t, place[len(place)-1]))
	})

	t.Run("is another one for each job, also beside each other", func(t *testing.T) {
		jobPlaces(t)
		var group sync.WaitGroup
		var mu sync.Mutex
		seen := map[string]bool{}
		for range 8 {
			group.Go(func() {
				dir, _ := inOwn(t, "sleep 0.1")
				mu.Lock()
				defer mu.Unlock()
				seen[dir] = true
			})
		}
		group.Wait()
		require.Len(t, seen, 8)
	})

	t.Run("finds a relative program in it", func(t *testing.T) {
		jobPlaces(t)
		c, _ := jobClient(t)
		code, err := job.Job{Client: c, Path: "./no-such-program", OwnDir: true, Logger: quiet}.Run(t.Context())
		require.ErrorIs(t, err, os.ErrNotExist)
		require.Equal(t, 127, code)
	})

	t.Run("excludes Dir", func(t *testing.T) {
		c, _ := jobClient(t)
		_, err := job.Job{Client: c, Path: "true", Dir: "/", OwnDir: true, Logger: quiet}.Run(t.Context())
		require.ErrorContains(t, err, "both Dir and OwnDir are set; set one of them")
		_, ok := errors.AsType[*bundle.Fault](err)
		require.True(t, ok)
	})

	t.Run("is removed after a killed runner", func(t *testing.T) {
		jobPlaces(t)
		r := startRunner(t, `echo "own $PWD"; touch file; mkdir -p cache/inner; touch cache/inner/file; chmod 0500 cache/inner cache; `+family+waits, func(cmd *exec.Cmd) { cmd.Stderr = nil }, "SATCHEL_TEST_DIES=signal", "SATCHEL_TEST_OWN_DIR=1")
		own := r.expect(t, "own ")
		left := r.family(t)
		require.FileExists(t, filepath.Join(own, "file"))
		r.sends(t, syscall.SIGKILL)
		r.ends(t)
		left.gone(t, "SIGKILL")
		leaktest.Eventually(t, "its own directory is gone", func() bool { _, err := os.Stat(own); return err != nil })
	})
}
