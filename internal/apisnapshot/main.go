// Apisnapshot writes the exported API of the module's importable packages to
// api.txt, one line per name, so that every change of the API changes that file. Run
// it from the root of the module:
//
//	go run ./internal/apisnapshot
//
// It type-checks only declarations and compiles nothing.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path"
	"slices"
	"strings"
)

const (
	module   = "github.com/satchelhq/satchel"
	snapshot = "api.txt"
	command  = "go run ./internal/apisnapshot"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("apisnapshot: ")
	text, err := moduleAPI(".")
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(snapshot, text, 0o666); err != nil {
		log.Fatal(err)
	}
}

// moduleAPI returns the content of api.txt for the module with the root dir.
func moduleAPI(dir string) ([]byte, error) {
	all, err := list(dir, "./...")
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, p := range all {
		if p.Name != "main" && importable(p.ImportPath) {
			paths = append(paths, p.ImportPath)
		}
	}
	packages, err := load(dir, paths...)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "# The exported API, as on linux/amd64. Written by: %s\n", command)
	for _, p := range packages {
		text.WriteByte('\n')
		for _, line := range lines(p) {
			fmt.Fprintf(&text, "pkg %s, %s\n", shortPath(p.Path()), line)
		}
	}
	return text.Bytes(), nil
}

// importable reports whether users may import the package. Examples are only
// for reading.
func importable(importPath string) bool {
	return !slices.ContainsFunc(strings.Split(importPath, "/"), func(element string) bool {
		return element == "internal" || element == "cmd" || element == "examples"
	})
}

// shortPath returns the import path relative to the module, or the last element of
// the module's path for its root.
func shortPath(importPath string) string {
	if importPath == module {
		return path.Base(module)
	}
	return strings.TrimPrefix(importPath, module+"/")
}

// compare returns the lines that only one of two snapshots has: first the removed
// lines with "- ", then the added lines with "+ ".
func compare(before, after string) string {
	count := map[string]int{}
	for line := range strings.Lines(after) {
		count[line]++
	}
	var difference strings.Builder
	for line := range strings.Lines(before) {
		if count[line]--; count[line] < 0 {
			difference.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(after) {
		if count[line] > 0 {
			count[line]--
			difference.WriteString("+ " + line)
		}
	}
	return difference.String()
}
