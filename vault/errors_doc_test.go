package vault_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
)

// errorsNamed matches a comment that names the errors of a method: the word itself, a
// sentinel such as ErrNotFound, or a type such as TokenError.
var errorsNamed = regexp.MustCompile(`\b[Ee]rrors?\b|\bErr[A-Z]\w*|\b[A-Z]\w*Error\b`)

func TestErrorsDoc(t *testing.T) {
	t.Run("each method of Vault that returns errors documents them", func(t *testing.T) {
		docs := vaultDocs(t)
		failing := 0
		for method := range reflect.TypeFor[*vault.Vault]().Methods() {
			if !returnsError(method.Type) {
				continue
			}
			failing++
			require.Regexp(t, errorsNamed, docs[method.Name], "the comment of %s must name its errors", method.Name)
		}
		require.Greater(t, failing, 20)
	})

	t.Run("a comment that names no errors is detected", func(t *testing.T) {
		for _, text := range []string{"", "Put stores a value.", "Put is erratic.", "terrors"} {
			require.NotRegexp(t, errorsNamed, text)
		}
		for _, text := range []string{"It returns [ErrInvalid].", "keyring.ErrTampered", "a *[TokenError]", "An error ends it.", "Errors: none"} {
			require.Regexp(t, errorsNamed, text)
		}
	})
}

// returnsError reports whether a method returns an error, by itself or as the
// element of an iterator.
func returnsError(method reflect.Type) bool {
	for out := range method.Outs() {
		if out == reflect.TypeFor[error]() {
			return true
		}
		if out.Kind() == reflect.Func {
			for element := range out.In(0).Ins() {
				if element == reflect.TypeFor[error]() {
					return true
				}
			}
		}
	}
	return false
}

// vaultDocs returns the comments of the exported methods of *Vault, by name.
func vaultDocs(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	docs := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || !fn.Name.IsExported() {
				continue
			}
			if star, ok := fn.Recv.List[0].Type.(*ast.StarExpr); ok && star.X.(*ast.Ident).Name == "Vault" {
				docs[fn.Name.Name] = fn.Doc.Text()
			}
		}
	}
	return docs
}
