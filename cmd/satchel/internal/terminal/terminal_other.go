//go:build !linux && !darwin

// Package terminal detects terminals and hides what the user types.
package terminal

import (
	"errors"
	"os"
)

// Is reports whether f is a character device, which includes terminals.
func Is(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// HideInput always fails, because this system's terminals are not supported.
func HideInput(*os.File) (restore func() error, err error) {
	return nil, errors.New("terminals cannot hide input on this system; set the environment variable instead")
}
