package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// A listed package is the output of go list for one package.
type listed struct {
	ImportPath string
	Name       string
	Dir        string
	GoFiles    []string
	ImportMap  map[string]string
	DepOnly    bool

	files []*ast.File
	err   error
}

// load returns the packages that match the patterns in dir, sorted by path, with the
// types of their declarations. Parameters have no names.
//
// It reads the sources of all dependencies for linux/amd64 on every platform, and
// skips function bodies, which no exported type needs.
func load(dir string, patterns ...string) ([]*types.Package, error) {
	packages, err := list(dir, append([]string{"-deps"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	parse(fset, packages)
	known := map[string]*types.Package{"unsafe": types.Unsafe}
	var matched []*types.Package
	for _, p := range packages { // dependencies come first
		if p.err != nil {
			return nil, p.err
		}
		if p.ImportPath == "unsafe" {
			continue
		}
		config := types.Config{
			IgnoreFuncBodies: true,
			FakeImportC:      true,
			Sizes:            types.SizesFor("gc", "amd64"),
			Importer: importer(func(path string) (*types.Package, error) {
				if mapped, ok := p.ImportMap[path]; ok {
					path = mapped
				}
				if known[path] == nil {
					return nil, fmt.Errorf("%s was not listed", path)
				}
				return known[path], nil
			}),
		}
		known[p.ImportPath], err = config.Check(p.ImportPath, fset, p.files, nil)
		if err != nil {
			return nil, err
		}
		if !p.DepOnly {
			matched = append(matched, known[p.ImportPath])
		}
	}
	slices.SortFunc(matched, func(a, b *types.Package) int { return strings.Compare(a.Path(), b.Path()) })
	return matched, nil
}

type importer func(path string) (*types.Package, error)

func (f importer) Import(path string) (*types.Package, error) { return f(path) }

// list returns the packages that go list finds with args. With the flag -deps, they
// include all dependencies; each comes before the packages that import it.
func list(dir string, args ...string) ([]*listed, error) {
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Name,Dir,GoFiles,ImportMap,DepOnly"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, e.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []*listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(listed)
		if err := dec.Decode(p); err == io.EOF {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("output of go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// parse reads the files of all packages.
func parse(fset *token.FileSet, packages []*listed) {
	var group sync.WaitGroup
	next := make(chan *listed)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for p := range next {
				p.parse(fset)
			}
		})
	}
	for _, p := range packages {
		next <- p
	}
	close(next)
	group.Wait()
}

func (p *listed) parse(fset *token.FileSet) {
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			p.err = err
			return
		}
		if !p.DepOnly {
			forgetParameters(file)
		}
		p.files = append(p.files, file)
	}
}

// forgetParameters removes the names of parameters and results, which are not part of
// a type. Receivers keep their names.
func forgetParameters(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncType); ok {
			forgetNames(f.Params)
			forgetNames(f.Results)
		}
		return true
	})
}

func forgetNames(fields *ast.FieldList) {
	if fields == nil {
		return
	}
	var unnamed []*ast.Field
	for _, field := range fields.List {
		for range max(1, len(field.Names)) {
			unnamed = append(unnamed, &ast.Field{Type: field.Type})
		}
	}
	fields.List = unnamed
}
