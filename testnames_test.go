package satchel_test

import (
	"fmt"
	"go/ast"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

var (
	// testName is the name of a test: what it tests, and a topic of that.
	testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark)([A-Z][A-Za-z0-9]*)(_[A-Za-z0-9]+)?$`)
	// systems are the ends of a file name that say where it is compiled.
	systems = regexp.MustCompile(`(_(linux|darwin|windows|unix|other|race))*_test\.go$`)
)

// TestTestNames holds that the name of a test begins with what it tests: a name that
// the package declares, or the topic that its file is named after. The sentence is the
// name of a subtest: a topic after the underscore has at most four words.
func TestTestNames(t *testing.T) {
	fset, list := folders(t)
	for _, f := range list {
		t.Run(f.path, func(t *testing.T) {
			declared := map[string]bool{}
			for name, file := range f.files {
				if !isTest(name) {
					for ident := range declaredNames(file) {
						declared[strings.ToLower(ident)] = true
					}
				}
			}
			var lost []string
			for _, name := range f.names {
				if !isTest(name) {
					continue
				}
				topic := strings.ReplaceAll(systems.ReplaceAllString(name, ""), "_", "")
				for _, decl := range f.files[name].Decls {
					fn, ok := decl.(*ast.FuncDecl)
					if !ok || fn.Recv != nil || fn.Name.Name == "TestMain" || !aTest(fn.Name.Name) {
						continue
					}
					part := testName.FindStringSubmatch(fn.Name.Name)
					if part == nil || words(part[3]) > 4 || !declared[strings.ToLower(part[2])] && strings.ToLower(part[2]) != topic {
						at := fset.Position(fn.Pos())
						lost = append(lost, fmt.Sprintf("%s:%d: %s", at.Filename, at.Line, fn.Name.Name))
					}
				}
			}
			require.Empty(t, strings.Join(lost, "\n"), "these names do not begin with a name of the package or their file's, or have a sentence for a topic")
		})
	}
}

func aTest(name string) bool {
	return strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "Benchmark")
}

// declaredNames returns the package-level names of a file, and those of methods
// without their receivers.
func declaredNames(file *ast.File) map[string]bool {
	names := map[string]bool{}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			names[decl.Name.Name] = true
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						names[name.Name] = true
					}
				case *ast.TypeSpec:
					names[spec.Name.Name] = true
				}
			}
		}
	}
	return names
}

// words counts the words of a name in CamelCase: a run of capitals is one.
func words(camel string) (n int) {
	capital := false
	for _, r := range camel {
		if up := unicode.IsUpper(r); up != capital || n == 0 {
			if up || n == 0 {
				n++
			}
			capital = up
		}
	}
	return n
}

func TestTestNames_Words(t *testing.T) {
	for name, want := range map[string]int{"": 0, "Restart": 1, "FileModes": 2, "HTTP": 1, "ReadsAFileThatIsGone": 5} {
		require.Equal(t, want, words(name), name)
	}
}
