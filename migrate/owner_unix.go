//go:build unix

package migrate

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkLinks refuses a file that has other names: they would keep the old
// content.
func checkLinks(path string, info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		return fmt.Errorf("%s has %d hard links, of which the others would keep the secrets; remove those first", path, stat.Nlink)
	}
	return nil
}

// likeOld gives a file the owner and the permissions of the one that it takes
// the place of.
func likeOld(file *os.File, info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		fresh, err := file.Stat()
		if err != nil {
			return err
		}
		if now, ok := fresh.Sys().(*syscall.Stat_t); !ok || now.Uid != stat.Uid || now.Gid != stat.Gid {
			if err := file.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
				return fmt.Errorf("giving the new file the owner of the old one: %w; run it as that user", err)
			}
		}
	}
	return file.Chmod(info.Mode().Perm())
}

// syncDir makes a rename last. If it cannot, a crash may bring back the old
// file, which loses nothing.
func syncDir(path string) {
	if dir, err := os.Open(path); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
}
