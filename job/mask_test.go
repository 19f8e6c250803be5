//go:build unix

package job_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/job"
)

// TestJob_Masking is about secrets next to a job that it was not given.
func TestJob_Masking(t *testing.T) {
	t.Run("covers tokens and all values of the client", func(t *testing.T) {
		token, _ := wire.NewToken()
		admin := wire.AdminTokenPrefix + token[len(wire.TokenPrefix):]
		platform, local := newSource(secret("A", "platform-value"), secret("B", "other-value")), newSource(secret("A", "local-value"), secret("C", "unused-value"))
		c, err := satchel.New(t.Context(), []bundle.Provider{platform, local}, &satchel.Options{Logger: quiet})
		require.NoError(t, err)
		dir := t.TempDir()
		file := "SATCHEL_RUNNER_TOKEN=" + token + "\nC=unused-value\nADMIN=" + admin + "\nB=other-value\nA=platform-value\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, ".env"), []byte(file), 0o600))

		j := shell(c, "cat .env; base64 -w0 .env; cat .env >&2; echo $A", nil, "A")
		j.Dir = dir
		code, out := runs(t, j)
		require.Zero(t, code)
		require.Equal(t, 2, strings.Count(out, "SATCHEL_RUNNER_TOKEN=[SATCHEL_RUNNER_TOKEN]\nC=[C]\nADMIN=[SATCHEL_ADMIN_TOKEN]\nB=[B]\nA=[A]\n"), out)
		require.Contains(t, out, "[A]\n")
		for _, part := range []string{token[10:20], "value"} {
			require.NotContains(t, out, part)
		}
		require.Contains(t, out, "[SATCHEL_RUNNER_TOKEN]", "also in base64")
	})

	t.Run("follows values that the job was not given", func(t *testing.T) {
		c, s := jobClient(t, secret("A", "given-value"), secret("B", "first-value"))
		r := begin(t, shell(c, "while read line; do echo $line; done", nil, "A"))
		r.say(t, "one first-value")
		r.await(t, "one [B]\n")
		for _, value := range []string{"second-value", "third-value", "fourth-value"} {
			refreshTo(t, c, s, bundleOf(secret("A", "given-value"), secret("B", value)))
		}
		r.say(t, "two first-value second-value third-value fourth-value")
		r.await(t, "two [B] [B] [B] [B]\n")
		require.NoError(t, r.stdin.Close())
		require.Zero(t, r.ends(t))
	})

	t.Run("covers values that the job decodes", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", `-----BEGIN X-----\nfirst-line-of-it\nsecond-line-of-it\n-----END X-----\n`), secret("B", "ZGVjb2RlZC12YWx1ZQ=="))
		_, out := runs(t, shell(c, `printf '%b' "$A" | sed 's/^/> /'; printf %s "$B" | base64 -d`, nil, "A", "B"))
		require.Equal(t, "> -----BEGIN X-----\n> [A]\n> [A]\n> -----END X-----\n[B]", out)
	})

	t.Run("follows a source that is not a client", func(t *testing.T) {
		merged := bundle.Merge(bundleOf(secret("A", "shadowed-value"), secret("B", "other-value")), bundleOf(secret("A", "given-value")))
		s := &steps{now: merged, changed: make(chan struct{})}
		_, out := runs(t, job.Job{Client: s, Path: "echo", Args: []string{"given-value other-value shadowed-value"}, Secrets: []string{"A"}, Logger: quiet})
		require.Equal(t, "[A] [B] [A]\n", out)
	})

	t.Run("names only secrets of the job that are too short", func(t *testing.T) {
		c, _ := jobClient(t, secret("A", "1234"), secret("B", "5678"))
		var log transcript
		j := shell(c, "true", nil, "A")
		j.Logger = logTo(&log)
		runs(t, j)
		require.Contains(t, log.String(), "secret=A")
		require.NotContains(t, log.String(), "secret=B")
	})
}
