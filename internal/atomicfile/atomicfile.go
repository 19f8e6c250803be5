// Package atomicfile writes files that survive a power failure once a call has
// returned. [Create] makes a new file and never replaces one. [Replace] replaces the
// content of a file atomically: readers see either the old or the new content. Only
// the owner can read new files.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Create makes a new file with this content and mode 0600, and returns when it is
// on disk. If the file exists, the error wraps [fs.ErrExist]. If writing fails,
// Create removes the file. A reader that opens the file before Create returns may
// see incomplete content.
func Create(path string, content []byte) error {
	return CreateFrom(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// CreateFrom is [Create] with the content that write produces. If write fails,
// CreateFrom removes the file.
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
	// Mode is the mode of the new file. Default: that of the replaced file, or
	// 0600.
	Mode fs.FileMode
	// Ready is called when the new content is on disk, before the replacement. If
	// it fails, Replace returns its error and replaces nothing. Default: nil, no
	// call.
	Ready func() error
}

// Replace atomically replaces the content of the file at path, or creates the file,
// and returns when the content is on disk. It first writes a temporary file in the
// same folder, whose name is that of the file followed by ".new-" and digits. On
// Unix, the file keeps its owner and group; if that is impossible, Replace fails. If
// path is a symbolic link, Replace replaces its target, or the link itself if the
// target does not exist. It replaces only regular files. If Replace fails, the file
// is unchanged. opts may be nil.
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

// like sets the mode of a file and, if it replaces another file, its owner.
func like(file *os.File, old fs.FileInfo, mode fs.FileMode) error {
	if old != nil {
		if err := keepOwner(file, old); err != nil {
			return fmt.Errorf("setting the owner of the new file to that of the old one: %w; run the program as that user", err)
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

// fill calls write, syncs the file to disk and closes it.
func fill(file *os.File, write func(io.Writer) error) error {
	err := write(file)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// SyncFolder syncs the names in a folder to disk, so that a new or renamed file
// survives a power failure. It ignores errors, because not every system supports it
// and the files are valid without it.
func SyncFolder(path string) {
	folder, err := os.Open(path)
	if err != nil {
		return
	}
	defer folder.Close()
	_ = folder.Sync()
}
