package job

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// dir is the private directory of one job. It is created on first use.
type dir struct {
	path string
	root *os.Root
	// lock tells other runners that the job's runner is alive. It is nil if the system
	// has no locks.
	lock io.Closer
	// files has the names of the secrets with a file.
	files map[string]bool
}

// open creates the directory in the first of places that allows it.
func (d *dir) open(places ...string) error {
	var errs []error
	for _, place := range places {
		err := errSwept
		for attempt := 0; attempt < 10 && errors.Is(err, errSwept); attempt++ {
			err = d.create(place)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("creating a private directory for the job: %w", errors.Join(errs...))
}

// dirPrefix begins the names of jobs' directories. 16 letters and digits follow, so that
// no other program has such a name.
const dirPrefix = "satchel-job-"

// places returns the directories for jobs' directories, in the order of preference.
func places() []string { return append(memoryPlaces(), os.TempDir()) }

// errSwept means that another runner removed the directory before it was locked.
var errSwept = errors.New("another runner removed the directory")

// create creates the directory in place, and locks it.
func (d *dir) create(place string) error {
	path := filepath.Join(place, dirPrefix+rand.Text()[:16])
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errSwept
	} else if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	lock, err := lockDir(root, path)
	if err != nil {
		_ = os.Remove(path) // the other runner may have done that
		return errors.Join(err, root.Close())
	}
	d.path, d.root, d.lock, d.files = path, root, lock, map[string]bool{}
	return nil
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
	var errs []error
	for name := range d.files { // even if the job has moved the directory
		if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			errs = append(errs, err)
		}
	}
	err := removeAll(d.path)
	for attempt := 0; attempt < 5 && errors.Is(err, syscall.ENOTEMPTY); attempt++ {
		time.Sleep(20 * time.Millisecond) // a killed process may just have written
		err = removeAll(d.path)
	}
	errs = append(errs, err, d.root.Close())
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing the job's files: %w", err)
	}
	return nil
}

// removeAll removes the directory at path, and makes directories in it writable if it
// must: a job may have changed them.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	return os.RemoveAll(path)
}
