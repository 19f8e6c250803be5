//go:build !unix

package atomicfile

import (
	"io/fs"
	"os"
)

// keepOwner does nothing: on other systems, a file has the owner of its folder.
func keepOwner(*os.File, fs.FileInfo) error { return nil }
