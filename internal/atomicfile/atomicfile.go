// Package atomicfile writes files that are complete or not there, and that
// outlast a loss of power. [Create] makes a new file and never replaces one;
// [Replace] puts new content in the place of a file, which its readers see whole,
// the old one or the new one. New files can be read by their owner only.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Create makes a new file with this content and mode 0600, and returns once it
// is on disk. A file that exists is an error that wraps [fs.ErrExist]. If writing
// fails, the file is removed. A reader that opens the file before Create returns
// can find a part of it.
func Create(path string, content []byte) error {
	return CreateFrom(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// CreateFrom is [Create] with the content that write writes. The file is removed
// if write fails.
func CreateFrom(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := fill(file, write); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	SyncFolder(filepath.Dir(path))
	return nil
}

// ReplaceOptions are the optional settings of [Replace].
type ReplaceOptions struct {
	// Mode is the mode of the file. Default: that of the file that is replaced,
	// or 0600.
	Mode fs.FileMode
	// Ready is called when the new content is on disk and before it takes its
	// place. If it fails, nothing is replaced. Default: nothing is called.
	Ready func() error
}

// Replace gives the file at path this content, at once, and returns when that is
// on disk. The content is first written to a file beside it, whose name starts
// with that of the file and ".new-". The file keeps its owner and group, where
// the system has them; if it cannot, Replace fails. Where path is a symbolic
// link, the file that it leads to is replaced; a link that leads to nothing is
// replaced itself. Only regular files are replaced. If Replace fails, the file is
// as it was.
func Replace(path string, content []byte, opts *ReplaceOptions) error {
	var o ReplaceOptions
	if opts != nil {
		o = *opts
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old != nil && !old.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // with mode 0600
	if err != nil {
		return err
	}
	fresh := file.Name()
	err = fill(file, func(io.Writer) error {
		if _, err := file.Write(content); err != nil {
			return err
		}
		return like(file, old, o.Mode)
	})
	if err == nil && o.Ready != nil {
		err = o.Ready()
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	SyncFolder(filepath.Dir(path))
	return nil
}

// like gives a file the owner of the one that it takes the place of, if there is
// one, and the mode.
func like(file *os.File, old fs.FileInfo, mode fs.FileMode) error {
	if old != nil {
		if err := keepOwner(file, old); err != nil {
			return fmt.Errorf("giving the new file the owner of the old one: %w; run it as that user", err)
		}
		if mode == 0 {
			mode = old.Mode().Perm()
		}
	}
	if mode == 0 {
		return nil
	}
	return file.Chmod(mode)
}

// fill has a file written, puts it on disk and closes it.
func fill(file *os.File, write func(io.Writer) error) error {
	err := write(file)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// SyncFolder puts the names in a folder on disk, so that a new or renamed file
// outlasts a loss of power. Not every system and file system can; it reports no
// failure, since the files are good without it.
func SyncFolder(path string) {
	folder, err := os.Open(path)
	if err != nil {
		return
	}
	defer folder.Close()
	_ = folder.Sync()
}
