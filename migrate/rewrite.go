package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/satchelhq/satchel/internal/atomicfile"
)

// check returns an error if the file evidently cannot be rewritten. It is called
// before any upload.
func (f *File) check() error {
	if err := f.checkUnchanged(); err != nil {
		return err
	}
	info, err := os.Stat(f.Path)
	if err != nil {
		return err
	}
	return checkLinks(f.Path, info)
}

// checkUnchanged returns an error if the file has changed since it was read.
func (f *File) checkUnchanged() error {
	content, err := readFile(f.Path)
	if err != nil {
		return err
	}
	if content != f.content.Reveal() {
		return errors.New("the file has changed since it was read; run the migration again")
	}
	return nil
}

// rewrite replaces the file by one without the lines of these entries, and returns
// the name of the backup. If it fails, the file is unchanged.
func (f *File) rewrite(cut []int) (backup string, err error) {
	content, err := f.without(cut)
	if err != nil {
		return "", err
	}
	path, err := filepath.EvalSymlinks(f.Path)
	if err != nil {
		return "", err
	}
	if backup, err = f.keepBackup(path); err != nil {
		return "", fmt.Errorf("writing a backup: %w", err)
	}
	err = atomicfile.Replace(path, []byte(content), &atomicfile.ReplaceOptions{Ready: f.checkUnchanged})
	if err != nil {
		return "", errors.Join(err, os.Remove(backup))
	}
	return backup, nil
}

// keepBackup writes the content to a new file beside path, readable only by its owner.
func (f *File) keepBackup(path string) (string, error) {
	base := path + ".bak-" + time.Now().UTC().Format("20060102T150405Z")
	for n := 0; ; n++ {
		name := base
		if n > 0 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		err := atomicfile.Create(name, []byte(f.content.Reveal()))
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		return name, err
	}
}
