//go:build unix && !aix

package job

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockDir locks the directory at path for the life of this process, or until the lock
// is closed. It returns errSwept if another runner removes the directory, and nil on
// file systems without locks: nothing there is swept.
func lockDir(root *os.Root, path string) (io.Closer, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	err = flock(f)
	if err == nil { // perhaps because it was removed already
		ours, e := f.Stat()
		there, err := os.Lstat(path)
		if e == nil && err == nil && os.SameFile(ours, there) {
			return f, nil
		}
		return nil, errors.Join(errSwept, f.Close())
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(errSwept, f.Close())
	}
	return nil, f.Close()
}

// flock locks f unless another process or file has the lock. The system ends the lock
// with the process, however that ends.
func flock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// jobDir matches the names of jobs' directories.
var jobDir = regexp.MustCompile(`^` + dirPrefix + `[A-Z2-7]{16}$`)

// sweep removes the directories of jobs of this user whose runners were killed. It
// leaves those of running runners, which hold a lock.
func sweep(log *slog.Logger) {
	for _, place := range places() {
		for _, name := range names(place) {
			if !jobDir.MatchString(name) {
				continue
			}
			path := filepath.Join(place, name)
			if swept, err := sweepDir(path); err != nil {
				log.Warn("cannot remove the files of a job whose runner was killed", "path", path, "error", err)
			} else if swept {
				log.Info("removed the files of a job whose runner was killed", "path", path)
			}
		}
	}
}

// names returns the names in a directory. It returns none if jobs cannot have
// directories there either.
func names(place string) []string {
	dir, err := os.Open(place)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	return names
}

// sweepDir removes the directory at path if it belongs to this user and is not locked.
// It follows no link.
func sweepDir(path string) (swept bool, err error) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		return false, nil // another sweep removed it, or it is not ours
	}
	if info.Mode().Perm()&0o500 != 0o500 { // the job may have changed it
		if err := os.Chmod(path, 0o700); err != nil {
			return false, err
		}
	}
	dir, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer dir.Close() // after the removal: this also ends the lock
	if flock(dir) != nil {
		return false, nil
	}
	return true, removeAll(path)
}
