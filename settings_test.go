package satchel_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// setting matches a package, a type and a field, in braces or alone.
var setting = regexp.MustCompile(`\{([a-z]\w*\.[A-Z]\w*\.[A-Z]\w*)(?:\.\w+)*\}|^([a-z]\w*\.[A-Z]\w*\.[A-Z]\w*)(?:\.\w+)*$`)

// TestSettings checks that the fields named by a bundle.Fault or by a program's table
// of flags are in the exported API.
func TestSettings(t *testing.T) {
	snapshot, err := os.ReadFile("api.txt")
	require.NoError(t, err)
	fields := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^pkg (\S+), type (\w+) struct, (\w+) `).FindAllStringSubmatch(string(snapshot), -1) {
		fields[path.Base(m[1])+"."+m[2]+"."+m[3]] = true
	}
	var found int
	err = filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			for _, m := range setting.FindAllStringSubmatch(text, -1) {
				found++
				require.True(t, fields[m[1]+m[2]], "%s: the field %s does not exist", name, m[1]+m[2])
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, found, 20, "the test finds the settings")
}
