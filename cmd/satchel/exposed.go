package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/satchelhq/satchel/internal/wire"
)

// Limits of the search for runner tokens in the folder of a job.
const (
	maxExposedNames = 2000     // names in the folder
	maxExposedFile  = 64 << 10 // size of a file, in bytes
	maxExposedTotal = 16 << 20 // bytes of all files
)

// sayExposed warns if a job with this working directory can read a runner token there.
// It looks at the files at the top of the folder, and at the runner's .env below it.
func (p *program) sayExposed(dir string, runner home) {
	dir = cmp.Or(dir, ".")
	standard, _ := standardHome()
	also := ""
	if runner != "" && !sameFolder(runner, standard) {
		also, _ = filepath.Rel(absolute(dir), absolute(runner.env()))
	}
	found := exposed(dir, also)
	if found == nil {
		return
	}
	have := found[0] + " has"
	if more := len(found) - 1; more > 0 {
		have = fmt.Sprintf("%s and %d more files here have", found[0], more)
	}
	place := "a folder that no job uses"
	if standard != "" {
		place = standard.env()
	}
	p.note("%s a runner token, which the job can read; keep the runner's lines in %s, and remove them here", have, place)
}

// exposed returns the paths of the files at the top of a folder that have text of the
// form of a runner token, within limits, and also of the path also, which is relative
// to the folder. It leaves out paths that lead out of the folder, and files that it
// cannot read.
func exposed(dir, also string) []string {
	folder, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(maxExposedNames) // as far as they can be read
	slices.Sort(names)
	// A large folder must not hide the usual names.
	names = append([]string{".env", "runner.yaml", "secrets.yaml", also}, names...)
	var found []string
	seen := map[string]bool{}
	total := int64(0)
	for _, name := range names {
		if seen[name] || !filepath.IsLocal(name) {
			continue
		}
		seen[name] = true
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxExposedFile || total+info.Size() > maxExposedTotal {
			continue
		}
		total += info.Size()
		if src, err := readFile(path); err == nil && wire.TokenPattern.Match(src) {
			found = append(found, path)
		}
	}
	return found
}
