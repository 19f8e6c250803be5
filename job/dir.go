package job

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/satchelhq/satchel/bundle"
)

// dir is the private directory of one job. It is created on first use.
type dir struct {
	path string
	root *os.Root
	// files has the names of the secrets with a file.
	files map[string]bool
}

// open creates the directory, in memory if the system has a place for that.
func (d *dir) open() error {
	if d.root != nil {
		return nil
	}
	var errs []error
	for _, place := range append(memoryPlaces(), os.TempDir()) {
		path, err := os.MkdirTemp(place, "satchel-") // with mode 0700
		if err != nil {
			errs = append(errs, err)
			continue
		}
		root, err := os.OpenRoot(path)
		if err != nil {
			return fmt.Errorf("creating a private directory for the job: %w", errors.Join(err, os.Remove(path)))
		}
		d.path, d.root, d.files = path, root, map[string]bool{}
		return nil
	}
	return fmt.Errorf("creating a private directory for the job: %w", errors.Join(errs...))
}

// file returns the path of a secret's file.
func (d *dir) file(name string) string { return filepath.Join(d.path, name) }

// write writes the value to the secret's file atomically: a reader sees the old or
// the new value.
func (d *dir) write(s bundle.Secret) error {
	if err := d.replace(s); err != nil {
		return fmt.Errorf("writing the file of the secret %s: %w", s.Name, err)
	}
	d.files[s.Name] = true
	return nil
}

func (d *dir) replace(s bundle.Secret) error {
	fresh := s.Name + ".new" // names of secrets have no dots
	if err := d.root.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := d.root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s.Value.Reveal())
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, d.root.Remove(fresh))
	}
	return d.root.Rename(fresh, s.Name)
}

// remove removes the directory with its files.
func (d *dir) remove() error {
	if d.root == nil {
		return nil
	}
	if err := errors.Join(d.root.Close(), os.RemoveAll(d.path)); err != nil {
		return fmt.Errorf("removing the job's files: %w", err)
	}
	return nil
}
