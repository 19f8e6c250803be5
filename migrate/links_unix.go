//go:build unix

package migrate

import (
	"fmt"
	"io/fs"
	"syscall"
)

// checkLinks refuses a file with several hard links, because the others would keep
// the old content.
func checkLinks(path string, info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		return fmt.Errorf("%s has %d hard links, and the others would keep the secrets; remove the others first", path, stat.Nlink)
	}
	return nil
}
