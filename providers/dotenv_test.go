package providers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/providertest"
)

func TestDotenv_Conformance(t *testing.T) {
	for name, optional := range map[string]bool{"required": false, "optional": true} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Fixture {
				path := write(t, ".env", "A="+localCanary+"\nB=\n")
				return providertest.Fixture{
					Provider: &providers.Dotenv{Path: path, Optional: optional},
					Want:     map[string]string{"A": localCanary, "B": ""},
					Change: func() map[string]string {
						// Editors replace the file like this.
						require.NoError(t, os.WriteFile(path+"~", []byte("B=b\n"), 0o600))
						require.NoError(t, os.Rename(path+"~", path))
						return map[string]string{"B": "b"}
					},
					Break: func() bundle.FetchKind {
						require.NoError(t, os.WriteFile(path, []byte("A='"+localCanary+"\n"), 0o600))
						return bundle.FetchPermanent
					},
				}
			})
		})
	}
}

func TestDotenv(t *testing.T) {
	t.Run("sets the file and line as the origin", func(t *testing.T) {
		t.Chdir(filepath.Dir(write(t, ".env", "# ours\nSATCHEL_RUNNER_TOKEN="+localCanary+"\nexport SATCHEL_API_URL=x\n\nB='two\nlines'\nA=1\n")))
		p := &providers.Dotenv{Path: ".env"}
		require.Equal(t, []string{"A=1 from dotenv .env:7", "B=two\nlines from dotenv .env:5"}, fetched(t, p), "the runner's own settings are omitted")
		require.Equal(t, "dotenv .env", p.String())
	})

	t.Run("treats a missing file as empty only if Optional is set", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), ".env")
		require.Empty(t, fetched(t, &providers.Dotenv{Path: path, Optional: true}))
		refused(t, &providers.Dotenv{Path: path}, "no such file or directory; create the file, or set Optional")
		_, err := (&providers.Dotenv{Path: path}).Fetch(t.Context(), nil)
		require.ErrorIs(t, err, os.ErrNotExist)
		refused(t, &providers.Dotenv{}, `providers.Dotenv has no Path; write Path: ".env"`)
		refused(t, &providers.Dotenv{Optional: true}, "providers.Dotenv has no Path")
	})

	t.Run("finds an optional file that appears later", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), ".env")
		p := &providers.Dotenv{Path: path, Optional: true}
		last, err := p.Fetch(t.Context(), nil)
		require.NoError(t, err)
		again, err := p.Fetch(t.Context(), last)
		require.NoError(t, err)
		require.Same(t, last, again, "a file that is still missing is unchanged")
		require.NoError(t, os.WriteFile(path, []byte("A=1"), 0o600))
		now, err := p.Fetch(t.Context(), last)
		require.NoError(t, err)
		require.Equal(t, 1, now.Len())
	})

	t.Run("rejects a malformed file and names the line", func(t *testing.T) {
		path := write(t, ".env", "A=1\nB="+localCanary+"'\n")
		for _, optional := range []bool{false, true} {
			p := &providers.Dotenv{Path: path, Optional: optional}
			refused(t, p, path+":2: quote inside an unquoted value")
			_, err := p.Fetch(t.Context(), nil)
			var fault *dotenv.SyntaxError
			require.ErrorAs(t, err, &fault, "the cause has its type")
			require.Equal(t, 2, fault.Line)
		}
	})

	t.Run("rejects a file above the limit", func(t *testing.T) {
		fits := "A=" + strings.Repeat("x", 1<<20-2)
		require.Len(t, fetched(t, &providers.Dotenv{Path: write(t, ".env", fits)}), 1, "the limit is inclusive")
		refused(t, &providers.Dotenv{Path: write(t, ".env", fits+"x")}, "is larger than the limit of 1048576 bytes; check the path")
	})

	t.Run("follows symbolic links", func(t *testing.T) {
		path := write(t, "real", "A=1")
		require.NoError(t, os.Symlink(path, path+".link"))
		require.Equal(t, []string{"A=1 from dotenv " + path + ".link:1"}, fetched(t, &providers.Dotenv{Path: path + ".link"}), "the origin is the given path")
		require.NoError(t, os.Remove(path))
		require.Empty(t, fetched(t, &providers.Dotenv{Path: path + ".link", Optional: true}), "a dangling link is a missing file")
	})

	t.Run("rejects a directory", func(t *testing.T) {
		dir := t.TempDir()
		refused(t, &providers.Dotenv{Path: dir, Optional: true}, dir+" is a directory; use a regular file")
	})

	t.Run("rejects a path through a file", func(t *testing.T) {
		path := filepath.Join(write(t, "file", "A=1"), ".env")
		refused(t, &providers.Dotenv{Path: path, Optional: true}, path+": not a directory; check the path")
	})
}
