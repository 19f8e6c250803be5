package satchel_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestArchitecture checks the table and the picture of docs/architecture.md.
func TestArchitecture(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	require.NoError(t, err)
	places := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| \[[^\]]+\]\(([^)]+)\) \| [^|]+ \|$`).FindAllStringSubmatch(string(page), -1) {
		places[row[1]] = filepath.Join("docs", row[2])
	}
	t.Run("the table has the ideas that readers look for", func(t *testing.T) {
		for _, idea := range []string{
			"masking", "the git helper", "the audit chain", "a storage of your own", "minting a GitHub token",
			"previews", "merging", "the admin API", "key caching", "the secret socket",
		} {
			require.Contains(t, places, idea)
		}
	})
	t.Run("each folder in the table is a package with a package comment", func(t *testing.T) {
		for idea, folder := range places {
			files, err := filepath.Glob(filepath.Join(folder, "*.go"))
			require.NoError(t, err)
			documented := false
			for _, file := range files {
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				documented = documented || !strings.HasSuffix(file, "_test.go") && regexp.MustCompile(`(?m)^// (Package|Command) \S+`).Match(text)
			}
			require.True(t, documented, "%s leads to %s, which has no package comment", idea, folder)
		}
	})

	picture, err := os.ReadFile("docs/architecture.svg")
	require.NoError(t, err)
	packages := listPackages(t, "", "./...")
	var drawn []string
	for _, match := range regexp.MustCompile(`data-package="([^"]+)"`).FindAllStringSubmatch(string(picture), -1) {
		drawn = append(drawn, strings.Fields(match[1])...)
	}
	t.Run("the page shows the picture", func(t *testing.T) {
		require.Contains(t, string(page), "](architecture.svg)")
	})
	t.Run("the picture has exactly the packages that users import", func(t *testing.T) {
		var public []string
		for path, p := range packages {
			inside := slices.ContainsFunc(strings.Split(path, "/"), func(e string) bool { return e == "internal" || e == "examples" || e == "cmd" })
			if p.ours() && !inside {
				public = append(public, pictureName(path))
			}
		}
		require.ElementsMatch(t, public, drawn)
	})
	t.Run("each arrow of the picture is an import", func(t *testing.T) {
		arrows := regexp.MustCompile(`data-from="([^"]+)" data-to="([^"]+)"`).FindAllStringSubmatch(string(picture), -1)
		require.NotEmpty(t, arrows)
		for _, arrow := range arrows {
			from := packages[module+"/"+arrow[1]]
			if arrow[1] == "satchel" {
				from = packages[module]
			}
			require.Contains(t, from.Imports, module+"/"+arrow[2], "the picture has an arrow from %s to %s", arrow[1], arrow[2])
		}
	})
}

// pictureName returns the name of a package in the picture.
func pictureName(path string) string {
	if path == module {
		return "satchel"
	}
	return strings.TrimPrefix(path, module+"/")
}
