//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadFile(t *testing.T) {
	t.Run("does not open a pipe", func(t *testing.T) {
		p := startPlatform(t)
		runnerEnv(t) // creates the folder
		for _, name := range []string{runnerHome(t).env(), runnerHome(t).settings(), "ca.pem"} {
			opened := makePipe(t, name)
			commands := [][]string{p.flagsOf("--ca", "ca.pem")}
			if name != "ca.pem" { // only setup knows this one
				commands = append(commands, []string{"check"})
			}
			for _, args := range commands {
				got := p.runner(t, args...).must(t, codeFailed)
				require.Contains(t, got.errOut, name+" is a pipe; use a regular file")
				require.NotContains(t, got.errOut, "writes both lines", "setup does not fix that")
			}
			select {
			case <-opened:
				require.Fail(t, "the pipe was opened", "%s may have a reader that waits for its content", name)
			default:
			}
			require.NoError(t, os.Rename(name, name+"-done"))
		}
	})

	t.Run("accepts regular files up to the limit", func(t *testing.T) {
		dir := t.TempDir()
		_, err := readFile(dir)
		require.EqualError(t, err, dir+" is a directory; use a regular file")
		_, err = readFile(os.DevNull)
		require.EqualError(t, err, os.DevNull+" is a special file; use a regular file")
		_, err = readFile(filepath.Join(dir, "none"))
		require.ErrorIs(t, err, os.ErrNotExist)
		long := filepath.Join(dir, "long")
		overwriteFile(t, long, strings.Repeat("x", maxFile))
		src, err := readFile(long)
		require.NoError(t, err)
		require.Len(t, src, maxFile)
		appendTo(t, long, "x")
		_, err = readFile(long)
		require.EqualError(t, err, long+" is larger than the limit of 1048576 bytes; check the path")
	})
}

// makePipe makes a pipe, and closes opened when a process opens it to read. Such a
// reader finds it empty and does not block.
func makePipe(t *testing.T, name string) (opened chan struct{}) {
	t.Helper()
	require.NoError(t, syscall.Mkfifo(name, 0o600))
	again := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, os.Link(name, again))
	opened = make(chan struct{})
	go func() {
		defer close(opened)
		if far, err := os.OpenFile(again, os.O_WRONLY, 0); err == nil {
			_ = far.Close()
		}
	}()
	t.Cleanup(func() {
		near, err := os.OpenFile(again, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		require.NoError(t, err)
		<-opened
		require.NoError(t, near.Close())
	})
	return opened
}
