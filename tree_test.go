package satchel_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A folder is a directory of the tree with its files; Go files are parsed.
type folder struct {
	path  string // relative to the root, with slashes; "." is the root
	names []string
	files map[string]*ast.File // by name
}

// hasProse reports whether a file has text for readers: code, pages and configuration.
func hasProse(path string) bool {
	switch filepath.Ext(path) {
	case ".go", ".md", ".yaml", ".yml", ".svg":
		return true
	}
	name := filepath.Base(path)
	return name == "Makefile" || name == "CODEOWNERS" || filepath.Dir(path) == ".ci"
}

// folders returns the folders of the tree that have such files, those of nested modules
// included, sorted by path.
func folders(t *testing.T) (*token.FileSet, []*folder) {
	t.Helper()
	fset := token.NewFileSet()
	found := map[string]*folder{}
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == ".git" || entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		dir, name := filepath.ToSlash(filepath.Dir(path)), entry.Name()
		if !hasProse(path) {
			return nil
		}
		if found[dir] == nil {
			found[dir] = &folder{path: dir, files: map[string]*ast.File{}}
		}
		found[dir].names = append(found[dir].names, name)
		if filepath.Ext(name) == ".go" {
			found[dir].files[name], err = parser.ParseFile(fset, path, nil, parser.ParseComments)
		}
		return err
	}))
	require.Greater(t, len(found), 50, "the walk missed most of the tree")
	paths := slices.Sorted(maps.Keys(found))
	list := make([]*folder, len(paths))
	for i, path := range paths {
		list[i] = found[path]
	}
	return fset, list
}

// text returns the bytes of one of the folder's files.
func (f *folder) text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.FromSlash(f.path), name))
	require.NoError(t, err)
	return string(b)
}

func isTest(name string) bool { return strings.HasSuffix(name, "_test.go") }
