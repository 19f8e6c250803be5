package satchel_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadme_Snippets looks for the Go snippets of all pages in the sources of the
// examples.
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
	var snippets int
	for _, page := range pages(t) {
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
	for _, page := range pages(t) {
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

// pages returns the Markdown files at the root and below docs/.
func pages(t *testing.T) (list []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		list = append(list, files...)
	}
	return list
}
