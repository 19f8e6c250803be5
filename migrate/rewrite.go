package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// check fails if the file cannot be rewritten, as far as that can be told before
// anything is uploaded.
func (f *File) check() error {
	if err := f.unchanged(); err != nil {
		return err
	}
	info, err := os.Stat(f.Path)
	if err != nil {
		return err
	}
	return checkLinks(f.Path, info)
}

// unchanged fails if the file is not what it was when it was read.
func (f *File) unchanged() error {
	content, err := readFile(f.Path)
	if err != nil {
		return err
	}
	if content != f.content.Reveal() {
		return errors.New("the file has changed since it was read; run it again")
	}
	return nil
}

// rewrite replaces the file by one without the lines of these entries, and
// returns the name of the backup. Nothing has changed if it fails.
func (f *File) rewrite(cut []int) (backup string, err error) {
	content, err := f.without(cut)
	if err != nil {
		return "", err
	}
	path, err := filepath.EvalSymlinks(f.Path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if backup, err = f.keepBackup(path); err != nil {
		return "", fmt.Errorf("keeping a backup: %w", err)
	}
	if err := f.replace(path, content, info); err != nil {
		return "", errors.Join(err, os.Remove(backup))
	}
	return backup, nil
}

// replace puts a file with this content in the place of the one at path.
func (f *File) replace(path, content string, old fs.FileInfo) error {
	fresh, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // 0600
	if err != nil {
		return err
	}
	err = fill(fresh, content)
	if err == nil {
		err = likeOld(fresh, old)
	}
	if closeErr := fresh.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = f.unchanged()
	}
	if err == nil {
		err = os.Rename(fresh.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh.Name()))
	}
	syncDir(filepath.Dir(path))
	return nil
}

// keepBackup writes what was read to a new file beside path, for its owner
// only.
func (f *File) keepBackup(path string) (string, error) {
	base := path + ".bak-" + time.Now().UTC().Format("20060102T150405Z")
	for n := 0; ; n++ {
		name := base
		if n > 0 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		err = fill(file, f.content.Reveal())
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return "", errors.Join(err, os.Remove(name))
		}
		return name, nil
	}
}

// fill writes content to file, down to the disk.
func fill(file *os.File, content string) error {
	if _, err := file.WriteString(content); err != nil {
		return err
	}
	return file.Sync()
}
