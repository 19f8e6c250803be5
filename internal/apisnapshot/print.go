package main

import (
	"cmp"
	"fmt"
	"go/constant"
	"go/types"
	"slices"
	"strings"
)

// lines returns one line per exported name of p: constants, variables, functions,
// and types with their exported fields and methods. It does not repeat promoted fields
// and methods, and omits types without an exported name.
func lines(p *types.Package) []string {
	pr := printer{pkg: p}
	for _, name := range p.Scope().Names() {
		object := p.Scope().Lookup(name)
		if !object.Exported() {
			continue
		}
		switch object := object.(type) {
		case *types.Const:
			pr.constant(object)
		case *types.Var:
			pr.add("var %s %s", name, pr.text(object.Type()))
		case *types.Func:
			pr.add("func %s%s", name, pr.signature(object))
		case *types.TypeName:
			pr.typeName(object)
		}
	}
	slices.SortFunc(pr.out, func(a, b string) int {
		return cmp.Or(cmp.Compare(kind(a), kind(b)), cmp.Compare(a, b))
	})
	return pr.out
}

// kind returns the sort key of a line: constants, variables, functions, types,
// methods.
func kind(line string) int {
	word, _, _ := strings.Cut(line, " ")
	return slices.Index([]string{"const", "var", "func", "type", "method"}, word)
}

type printer struct {
	pkg *types.Package
	out []string
}

func (pr *printer) add(format string, args ...any) {
	pr.out = append(pr.out, fmt.Sprintf(format, args...))
}

// text returns a type, qualified by package name if from another package.
func (pr *printer) text(t types.Type) string {
	return types.TypeString(t, func(other *types.Package) string {
		if other == pr.pkg {
			return ""
		}
		return other.Name()
	})
}

// signature returns type parameters, parameters and results.
func (pr *printer) signature(f *types.Func) string {
	return strings.TrimPrefix(pr.text(f.Type()), "func")
}

func (pr *printer) constant(c *types.Const) {
	value := c.Val().ExactString()
	if c.Val().Kind() == constant.Float {
		value = c.Val().String()
	}
	if basic, ok := c.Type().(*types.Basic); ok && basic.Info()&types.IsUntyped != 0 {
		pr.add("const %s = %s", c.Name(), value)
	} else {
		pr.add("const %s %s = %s", c.Name(), pr.text(c.Type()), value)
	}
}

func (pr *printer) typeName(object *types.TypeName) {
	name := pr.text(object.Type()) // with type parameters
	if alias, ok := object.Type().(*types.Alias); ok {
		pr.add("type %s = %s", name, pr.text(alias.Rhs()))
		pr.hidden(name, alias.Rhs())
		return
	}
	named := object.Type().(*types.Named)
	switch underlying := named.Underlying().(type) {
	case *types.Struct:
		pr.add("type %s struct", name)
		pr.fields(name, underlying)
	case *types.Interface:
		pr.add("type %s interface", name)
		pr.elements(name, underlying)
	default:
		pr.add("type %s %s", name, pr.text(underlying))
	}
	for method := range named.Methods() {
		if method.Exported() {
			pr.add("method (%s) %s%s", pr.text(method.Signature().Recv().Type()), method.Name(), pr.signature(method))
		}
	}
}

// hidden adds the fields and methods of a type in a package that users cannot import,
// if the alias called name makes it public.
func (pr *printer) hidden(name string, t types.Type) {
	named, ok := t.(*types.Named)
	if !ok || named.Obj().Pkg() == nil || named.Obj().Pkg() == pr.pkg || importable(named.Obj().Pkg().Path()) {
		return
	}
	if s, ok := named.Underlying().(*types.Struct); ok {
		pr.fields(name, s)
	}
	for method := range named.Methods() {
		if method.Exported() {
			pr.add("method (%s) %s%s", strings.ReplaceAll(pr.text(method.Signature().Recv().Type()), pr.text(named), name), method.Name(), pr.signature(method))
		}
	}
}

func (pr *printer) fields(name string, s *types.Struct) {
	for field := range s.Fields() {
		switch {
		case !field.Exported():
		case field.Embedded():
			pr.add("type %s struct, embedded %s", name, pr.text(field.Type()))
		default:
			pr.add("type %s struct, %s %s", name, field.Name(), pr.text(field.Type()))
		}
	}
}

// elements adds the methods and embedded types of an interface. It marks an interface
// with unexported methods, because other packages cannot implement it.
func (pr *printer) elements(name string, i *types.Interface) {
	unexported := false
	for method := range i.ExplicitMethods() {
		if method.Exported() {
			pr.add("type %s interface, %s%s", name, method.Name(), pr.signature(method))
		} else {
			unexported = true
		}
	}
	for embedded := range i.EmbeddedTypes() {
		pr.add("type %s interface, embedded %s", name, pr.text(embedded))
	}
	if unexported {
		pr.add("type %s interface, unexported methods", name)
	}
}
