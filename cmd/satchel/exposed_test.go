//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/wire"
)

func TestSayExposed(t *testing.T) {
	const says = " a runner token, which the job can read"
	warning := func(t *testing.T, p *platform, args ...string) string {
		t.Helper()
		got := p.runner(t, append(append([]string{"run"}, args...), "--", "true")...).must(t, 0)
		require.LessOrEqual(t, strings.Count(got.errOut, "\n"), 1, "%s", got.errOut)
		return got.errOut
	}
	token, _ := wire.NewToken()

	t.Run("warns of a token in the folder of the job", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		require.Empty(t, warning(t, p))
		for name, content := range map[string]string{
			"runner.yaml": "# " + token, "notes": "x" + token + "y", ".env.bak-1": tokenName + "='" + token + "'\n", "conf.json": `{"token":"` + token + `"}`,
		} {
			overwriteFile(t, name, content)
			require.Equal(t, name+" has"+says+"; keep the runner's lines in "+runnerEnv(t)+", and remove them here\n", warning(t, p))
			require.NoError(t, os.Remove(name))
		}
		overwriteFile(t, "a", token)
		overwriteFile(t, "b", token)
		overwriteFile(t, "c", token)
		require.Contains(t, warning(t, p), "a and 2 more files here have"+says)
		require.NotContains(t, warning(t, p, "--container", "x", "--docker", "true"), says, "a container does not see the folder")
		require.Contains(t, warning(t, p, "--container", "x", "--docker", "true", "--docker-arg", "-v.:/x"), says)
	})

	t.Run("warns of the runner's own files", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t, "--dir", ".")
		require.Contains(t, warning(t, p, "--dir", "."), ".env has"+says)
		require.NoError(t, os.Mkdir("sub", 0o700))
		require.NoError(t, os.Rename(".env", "sub/.env"))
		require.NoError(t, os.Rename("runner.yaml", "sub/runner.yaml"))
		require.Contains(t, warning(t, p, "--dir", "sub"), "sub/.env has"+says)
		dir, err := filepath.Abs("sub")
		require.NoError(t, err)
		require.Contains(t, warning(t, p, "--dir", dir), "sub/.env has"+says)
		t.Chdir(t.TempDir())
		require.Empty(t, warning(t, p, "--dir", dir))
	})

	t.Run("does not search without limits", func(t *testing.T) {
		p := startPlatform(t)
		p.setUp(t)
		overwriteFile(t, "large", strings.Repeat("x", maxExposedFile)+token)
		require.NoError(t, os.Mkdir("folder", 0o700))
		overwriteFile(t, "folder/.env", token)
		opened := makePipe(t, "pipe")
		overwriteFile(t, "short", token[:len(token)-1])
		require.NoError(t, os.Symlink("nowhere", "link"))
		require.Empty(t, warning(t, p))
		select {
		case <-opened:
			require.Fail(t, "the pipe was opened")
		default:
		}

		for i := range maxExposedNames + 100 {
			require.NoError(t, os.WriteFile(fmt.Sprintf("file-%d", i), nil, 0o600))
		}
		overwriteFile(t, ".env", token)
		require.Contains(t, warning(t, p), ".env has"+says, "the usual names are always searched")
	})
}
