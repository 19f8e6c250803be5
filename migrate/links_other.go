//go:build !unix

package migrate

import "io/fs"

// checkLinks does nothing, because link counts are not available.
func checkLinks(string, fs.FileInfo) error { return nil }
