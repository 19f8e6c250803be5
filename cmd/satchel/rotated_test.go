//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
)

// rename replaces a file in one step, as docs/runner.md describes.
func rename(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(content), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// started starts the program as a process of its own.
func started(t *testing.T, args ...string) (*exec.Cmd, *safeBuffer) {
	t.Helper()
	executable, err := os.Executable()
	require.NoError(t, err)
	out := &safeBuffer{grown: make(chan struct{}, 1)}
	cmd := exec.CommandContext(t.Context(), executable, args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	return cmd, out
}

// TestHome_RotatedToken tests commands that run while the token is rotated and the old
// one ends.
func TestHome_RotatedToken(t *testing.T) {
	size := strconv.Itoa(len(deployKey))
	for name, place := range map[string]struct{ lines, tokenPath string }{
		"in .env":                {},
		"in a file of its own":   {tokenFileName + "=token\n", "token"},
		"in a file behind links": {tokenFileName + "=current/token\n", "1/token"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			p.put(t, "acme", "DEPLOY_TOKEN", aiKey, nil)
			at := func(path string) string { return filepath.Join(filepath.Dir(runnerEnv(t)), path) }
			overwriteFile(t, runnerEnv(t), place.lines)
			link := place.tokenPath == "1/token"
			if link {
				require.NoError(t, os.Mkdir(at("1"), 0o700))
				require.NoError(t, os.Symlink("1", at("current")))
			}
			p.setUp(t)
			file, err := readEnvFile(runnerEnv(t))
			require.NoError(t, err)
			old, err := file.token()
			require.NoError(t, err)

			require.NoError(t, os.Mkdir("queue", 0o700))
			serve, events := started(t, "serve", "--jobs", "queue")
			events.await(t, "online")
			run, output := started(t, "run", "--file", "DEPLOY_TOKEN", "--", "sh", "-c",
				`echo starts; while [ "$(wc -c <"$DEPLOY_TOKEN_FILE")" -ne `+size+` ]; do sleep 0.1; done; echo fresh; exec sleep 600`)
			output.await(t, "starts")

			const overlap = time.Second
			next, _, err := p.vault.RotateToken(vault.WithActor(t.Context(), "ada"), idOf(t, old.Reveal()), &vault.RotateTokenOptions{Overlap: overlap})
			require.NoError(t, err)
			ended := time.Now().Add(overlap)
			switch {
			case link: // as Kubernetes does
				require.NoError(t, os.Mkdir(at("2"), 0o700))
				overwriteFile(t, at("2/token"), next.Reveal())
				require.NoError(t, os.Symlink("2", at("next")))
				require.NoError(t, os.Rename(at("next"), at("current")))
				require.NoError(t, os.RemoveAll(at("1")))
			case place.tokenPath != "":
				rename(t, at(place.tokenPath), next.Reveal()+"\n")
			default:
				src, err := os.ReadFile(runnerEnv(t))
				require.NoError(t, err)
				rename(t, runnerEnv(t), strings.ReplaceAll(string(src), old.Reveal(), next.Reveal()))
			}
			time.Sleep(time.Until(ended) + 500*time.Millisecond)
			require.Error(t, p.bootstrap(t, old), "the old token has ended")

			p.put(t, "acme", "DEPLOY_TOKEN", deployKey, nil)
			events.await(t, "changed: changed DEPLOY_TOKEN")
			addJob(t, "next", sh(`echo "${#DEPLOY_TOKEN}"`, "DEPLOY_TOKEN"))
			events.await(t, "ended next: code 0")
			_, printed := jobResult(t, "next")
			require.Equal(t, size+"\n", printed)
			output.await(t, "fresh")
			p.runner(t, "check").must(t, 0)
			p.runner(t, "explain", "DEPLOY_TOKEN").must(t, 0)

			for _, cmd := range []*exec.Cmd{serve, run} {
				require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
				_ = cmd.Wait()
			}
			require.NotContains(t, events.String(), "state", "serve was online all the time")
			for _, out := range []*safeBuffer{events, output} {
				require.NotContains(t, out.String(), next.Reveal())
			}
		})
	}
}

// bootstrap fetches the bundle of a token.
func (p *platform) bootstrap(t *testing.T, token bundle.Value) error {
	t.Helper()
	_, err := p.vault.Bootstrap(t.Context(), token, nil)
	return err
}
