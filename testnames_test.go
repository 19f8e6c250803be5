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
	// testName matches the name of a test: its subject and an optional topic.
	testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark)([A-Z][A-Za-z0-9]*)(_[A-Za-z0-9]+)?$`)
	// systems matches the end of a file name, including its build constraints.
	systems = regexp.MustCompile(`(_(linux|darwin|windows|unix|other|race))*_test\.go$`)
)

// TestTestNames checks that the name of each test, fuzz target and benchmark begins with
// its subject: a name that the package declares, or the base name of the file. A topic
// after the underscore has at most four words; sentences are names of subtests.
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
					if !findable(fn.Name.Name, topic, declared) {
						at := fset.Position(fn.Pos())
						lost = append(lost, fmt.Sprintf("%s:%d: %s", at.Filename, at.Line, fn.Name.Name))
					}
				}
			}
			require.Empty(t, strings.Join(lost, "\n"), "these names do not begin with a name that the package declares or with the base name of their file, or their topic has more than four words")
		})
	}
}

// findable reports whether a test is named after its file's topic or after a name that
// the package declares. topic and declared are in lower case.
func findable(test, topic string, declared map[string]bool) bool {
	part := testName.FindStringSubmatch(test)
	if part == nil || words(strings.TrimPrefix(part[3], "_")) > 4 {
		return false
	}
	subject := strings.ToLower(part[2])
	return declared[subject] || subject == topic
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

// words counts the words of a name in CamelCase. A run of capitals counts as one, but a
// capital before a lowercase letter begins a word.
func words(camel string) (n int) {
	letters := []rune(camel)
	for i, r := range letters {
		begins := i == 0 || !unicode.IsUpper(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])
		if unicode.IsUpper(r) && begins || i == 0 {
			n++
		}
	}
	return n
}

func TestTestNames_Words(t *testing.T) {
	for name, want := range map[string]int{"": 0, "Restart": 1, "FileModes": 2, "HTTP": 1, "HTTPServer": 2, "NoTLS": 2, "KeepsABundle": 3, "lower": 1, "ReadsAFileThatIsGone": 6} {
		require.Equal(t, want, words(name), name)
	}
}

func TestTestNames_Findable(t *testing.T) {
	declared := map[string]bool{"job": true}
	for name, want := range map[string]bool{
		"TestJob": true, "FuzzJob": true, "BenchmarkJob_Run": true, "TestAttackRows": true, "TestJob_RestartOfALongJob": false, "TestJob_RestartAfterLongStop": true,
		"TestAJobRestarts": false, "TestOther": false, "TestJob_Run_Twice": false, "Test_Job": false, "TestJob_": false,
	} {
		require.Equal(t, want, findable(name, "attackrows", declared), name)
	}
}
