package yamlfile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/local/localtest"
	"github.com/satchelhq/satchel/providers/providertest"
	"github.com/satchelhq/satchel/providers/yamlfile"
)

const canary = localtest.Canary

// write writes text to a new file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	return localtest.Write(t, "config.yaml", text)
}

func TestFile_Conformance(t *testing.T) {
	for name, indent := range map[string]string{"top": "", "section": "  "} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Fixture {
				head, section := "", ""
				if indent != "" {
					section = "secrets"
					head = "secrets:\n"
				}
				path := write(t, head+indent+"A: "+canary+"\n"+indent+"B: ''\n")
				return providertest.Fixture{
					Provider: &yamlfile.File{Path: path, Section: section},
					Want:     map[string]string{"A": canary, "B": ""},
					Change: func() map[string]string {
						// Editors replace the file like this.
						require.NoError(t, os.WriteFile(path+"~", []byte(head+indent+"B: 007\n"), 0o600))
						require.NoError(t, os.Rename(path+"~", path))
						return map[string]string{"B": "007"}
					},
					Break: func() bundle.FetchKind {
						require.NoError(t, os.WriteFile(path, []byte(head+indent+"A: *"+canary+"\n"), 0o600))
						return bundle.FetchPermanent
					},
				}
			})
		})
	}
}

func TestFile(t *testing.T) {
	t.Run("sets the file and line as the origin", func(t *testing.T) {
		t.Chdir(filepath.Dir(write(t, "# ours\nSATCHEL_RUNNER_TOKEN: "+canary+"\nA: 0123\n")))
		p := &yamlfile.File{Path: "config.yaml"}
		b, err := p.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, 1, b.Len(), "the runner's own settings are omitted")
		require.Equal(t, []bundle.Origin{{Provider: "yaml", Location: "config.yaml:3"}}, b.Trace("A"))
		require.Equal(t, "yaml config.yaml", p.String())
	})

	t.Run("treats a missing file as empty only if Optional is set", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "config.yaml")
		for _, section := range []string{"", "secrets"} {
			b, err := (&yamlfile.File{Path: path, Section: section, Optional: true}).Fetch(t.Context(), nil)
			require.NoError(t, err)
			require.Zero(t, b.Len())
			refused(t, &yamlfile.File{Path: path, Section: section}, "create the file, or set Optional")
		}
		refused(t, &yamlfile.File{Optional: true}, `yamlfile.File has no Path; write Path: "config.yaml"`)
		refused(t, &yamlfile.File{Path: write(t, ""), Section: "secrets", Optional: true}, `no section "secrets"`)
	})

	t.Run("rejects a file above the limit and a directory", func(t *testing.T) {
		fits := "A: " + strings.Repeat("x", 1<<20-3)
		b, err := (&yamlfile.File{Path: write(t, fits)}).Fetch(t.Context(), nil)
		require.NoError(t, err, "the limit is inclusive")
		require.Equal(t, 1, b.Len())
		refused(t, &yamlfile.File{Path: write(t, fits+"x")}, "is larger than the limit of 1048576 bytes; check the path")
		refused(t, &yamlfile.File{Path: t.TempDir(), Optional: true}, "is a directory; use a regular file")
	})
}

// refused requires that Fetch fails permanently.
func refused(t *testing.T, p *yamlfile.File, want string) {
	t.Helper()
	localtest.RequireFailure(t, p, bundle.FetchPermanent, want)
}

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("workers: 4\nsecrets:\n  PIN: 0123\n  EMPTY: ''\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	p := &yamlfile.File{Path: file, Section: "secrets"}
	b, err := p.Fetch(context.Background(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for s := range b.All() {
		fmt.Printf("%s %q %s\n", s.Name, s.Value.Reveal(), filepath.Base(s.Origin.Location))
	}
	// Output:
	// EMPTY "" config.yaml:4
	// PIN "0123" config.yaml:3
}
