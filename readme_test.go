package satchel_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadme_Snippets looks for every Go snippet of the
// README and of docs/ in the sources of the examples.
func TestReadme_Snippets(t *testing.T) {
	var sources []string
	for _, pattern := range []string{"examples/*/*.go", "example*_test.go", "*/example*_test.go", "*/*/example*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			sources = append(sources, string(source))
		}
	}
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	var snippets int
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			snippets++
			require.True(t, strings.Contains(strings.Join(sources, "\n"), match[1]), "%s has a snippet that is in no compiled example:\n%s", page, match[1])
		}
	}
	require.NotZero(t, snippets, "the pages have Go snippets")
}

// TestReadme_Links checks links to files of the project.
func TestReadme_Links(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, page := range append(pages, "README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`).FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			_, err := os.Stat(filepath.Join(filepath.Dir(page), match[1]))
			require.NoError(t, err, "%s links to %s", page, match[1])
		}
	}
}

// TestReadme_Architecture checks the map of docs/architecture.md.
func TestReadme_Architecture(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	require.NoError(t, err)
	places := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| \[[^\]]+\]\(([^)]+)\) \| [^|]+ \|$`).FindAllStringSubmatch(string(page), -1) {
		places[row[1]] = filepath.Join("docs", row[2])
	}
	t.Run("has the ideas that readers look for", func(t *testing.T) {
		for _, idea := range []string{
			"masking", "the git helper", "the audit chain", "a storage of one's own", "minting a GitHub token",
			"previews", "merging", "the admin API", "key caching", "the secret socket",
		} {
			require.Contains(t, places, idea)
		}
	})
	t.Run("each folder is a package with a package comment", func(t *testing.T) {
		for idea, folder := range places {
			files, err := filepath.Glob(filepath.Join(folder, "*.go"))
			require.NoError(t, err)
			documented := false
			for _, file := range files {
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				documented = documented || !strings.HasSuffix(file, "_test.go") && regexp.MustCompile(`(?m)^// (Package|Command) \S+`).Match(text)
			}
			require.True(t, documented, "%s leads to %s, which is no package with a package comment", idea, folder)
		}
	})
}
