//go:build unix

package regularfile

import (
	"io/fs"
	"syscall"
)

// ownerOf returns the user ID of a file's owner. ok is false if it is unknown.
func ownerOf(info fs.FileInfo) (uid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
