//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSignal(t *testing.T) {
	t.Run("ends the process", func(t *testing.T) {
		p, cmd := spawn(t, t.TempDir())
		p.serves()
		token := p.issue("acme")
		p.fetch(token)
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.Equal(t, exitOK, p.stop(), p.err.String())
		require.Contains(t, p.err.String(), "msg=ended")

		again := start(t, p.dir)
		require.Contains(t, again.admin("GET", "/tokens?scope=acme", ""), `"last_used_at"`, "pending times of use are stored at the end")
	})

	t.Run("a second one ends the process immediately", func(t *testing.T) {
		p, cmd := spawn(t, t.TempDir(), "-shutdown-delay", "10m")
		p.serves()
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.Eventually(t, func() bool { return strings.Contains(p.err.String(), "msg=ending") }, patience, 10*time.Millisecond)
		require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		require.Equal(t, -1, p.stop(), "the signal ended it")
		require.Equal(t, syscall.SIGINT, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
	})
}

func TestReopenAudit(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.jsonl")
	p := start(t, dir, "-audit-file", file)
	p.put("acme", "FIRST", "made-up-first-value")
	require.NoError(t, os.Rename(file, file+".1"))
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	require.Eventually(t, func() bool { return strings.Contains(p.err.String(), "audit file reopened") }, patience, 10*time.Millisecond)
	p.put("acme", "SECOND", "made-up-second-value")
	for path, name := range map[string]string{file + ".1": "FIRST", file: "SECOND"} {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		var entry struct{ Tenant, Action, Actor, Name string }
		require.NoError(t, json.Unmarshal(content, &entry), "%s has one line", path)
		require.Equal(t, struct{ Tenant, Action, Actor, Name string }{"acme", "secret.put", "shared token", name}, entry)
	}
}

// The content of a pipe can be read once, and opening one may block.
func TestInspect_Pipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	c, err := parse([]string{
		"-data", t.TempDir(), "-admin-token-file", pipe,
		"-github-scope", "acme", "-github-app-id", "1", "-github-installation", "1", "-github-app-key-file", pipe,
		"-bitbucket-scope", "acme", "-bitbucket-consumer-key", "k", "-bitbucket-consumer-secret-file", pipe,
	}, nil)
	require.NoError(t, err)
	require.NoError(t, c.inspect(t.Context()))
}
