package satchel_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestComments checks that each exported name has its own comment: types, functions,
// methods, constants, variables, struct fields and interface methods.
func TestComments(t *testing.T) {
	fset, list := folders(t)
	for _, f := range list {
		t.Run(f.path, func(t *testing.T) {
			var bare []string
			for _, name := range f.names {
				if file := f.files[name]; file != nil && !isTest(name) && file.Name.Name != "main" {
					for _, ident := range uncommented(file) {
						at := fset.Position(ident.Pos())
						bare = append(bare, fmt.Sprintf("%s:%d: %s", at.Filename, at.Line, ident.Name))
					}
				}
			}
			require.Empty(t, strings.Join(bare, "\n"), "these exported names have no comment")
		})
	}
}

// uncommented returns the exported names of a file that have no comment. A directive
// such as //go:embed is not a comment.
func uncommented(file *ast.File) (bare []*ast.Ident) {
	need := func(documented bool, names ...*ast.Ident) {
		for _, name := range names {
			if name.IsExported() && !documented {
				bare = append(bare, name)
			}
		}
	}
	members := func(list *ast.FieldList) {
		for _, field := range list.List {
			need(field.Doc.Text() != "" || field.Comment.Text() != "", field.Names...)
		}
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil || exportedReceiver(decl.Recv.List[0].Type) {
				need(decl.Doc.Text() != "", decl.Name)
			}
		case *ast.GenDecl:
			alone := !decl.Lparen.IsValid() && decl.Doc.Text() != ""
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					need(alone || spec.Doc.Text() != "" || spec.Comment.Text() != "", spec.Names...)
				case *ast.TypeSpec:
					need(alone || spec.Doc.Text() != "" || spec.Comment.Text() != "", spec.Name)
					if !spec.Name.IsExported() {
						continue
					}
					ast.Inspect(spec.Type, func(n ast.Node) bool { // nested types too
						switch body := n.(type) {
						case *ast.StructType:
							members(body.Fields)
						case *ast.InterfaceType:
							members(body.Methods)
						}
						return true
					})
				}
			}
		}
	}
	return bare
}

func exportedReceiver(receiver ast.Expr) bool {
	switch x := receiver.(type) {
	case *ast.StarExpr:
		return exportedReceiver(x.X)
	case *ast.IndexExpr:
		return exportedReceiver(x.X)
	case *ast.IndexListExpr:
		return exportedReceiver(x.X)
	case *ast.Ident:
		return x.IsExported()
	}
	return false
}

func TestComments_Uncommented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "shapes.go", `package shapes

// A and B of a group.
const (
	Bare = 1
	// Documented is documented.
	Documented = 2
	Trailing   = 3 // a comment
)

//go:embed text
var Directive string

// Alone is documented.
var Alone int

// T is documented.
type T struct {
	Field, Other int
	// Nested is documented.
	Nested []struct{ Inner int }
	hidden int
}

type I interface{ Call() }

type hidden struct{ Field int }

func F() {}

func (T) Method() {}

func (*hidden) Method() {}
`, parser.ParseComments)
	require.NoError(t, err)
	var names []string
	for _, ident := range uncommented(file) {
		names = append(names, ident.Name)
	}
	require.Equal(t, []string{"Bare", "Directive", "Field", "Other", "Inner", "I", "Call", "F", "Method"}, names)
}
