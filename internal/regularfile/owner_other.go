//go:build !unix

package regularfile

import "io/fs"

// ownerOf returns no owner: other systems have no user IDs.
func ownerOf(fs.FileInfo) (uid int, ok bool) { return 0, false }
