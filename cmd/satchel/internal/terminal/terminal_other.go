//go:build !linux && !darwin

// Package terminal asks a terminal not to show what is written there.
package terminal

import (
	"errors"
	"os"
)

// Is reports whether f is a terminal, as far as its mode tells.
func Is(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// HideInput fails: what is written here would be shown.
func HideInput(*os.File) (restore func() error, err error) {
	return nil, errors.New("a terminal of this system cannot hide what is written; set the variable in place of it")
}
