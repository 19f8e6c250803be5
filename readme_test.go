package satchel_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadme_Snippets checks that each Go snippet of a page is part of a compiled example.
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
			require.True(t, strings.Contains(strings.Join(sources, "\n"), match[1]), "%s has a snippet that no compiled example contains:\n%s", page, match[1])
		}
	}
	require.NotZero(t, snippets, "the pages have Go snippets")
}

// TestReadme_Links checks that links to files and headings of the project have a target.
func TestReadme_Links(t *testing.T) {
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`\]\(([^)#]*)([^)]*)\)`).FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			target := filepath.Join(filepath.Dir(page), match[1])
			if match[1] == "" {
				target = page
			}
			_, err := os.Stat(target)
			require.NoError(t, err, "%s links to %s", page, match[1])
			if anchor := strings.TrimPrefix(match[2], "#"); anchor != "" {
				linked, err := os.ReadFile(target)
				require.NoError(t, err)
				require.Contains(t, anchors(string(linked)), anchor, "%s links to %s#%s", page, match[1], anchor)
			}
		}
	}
}

// anchors returns the anchors of a page's headings, as GitHub forms them.
func anchors(page string) (list []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		text := regexp.MustCompile(`[^\p{L}\p{N}\- _]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(text, " ", "-"))
	}
	return list
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
