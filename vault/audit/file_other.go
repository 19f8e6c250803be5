//go:build !linux

package audit

import "os"

// reserve does nothing.
func reserve(*os.File) error { return nil }

// deleted reports false: it is not known.
func deleted(*os.File) bool { return false }
