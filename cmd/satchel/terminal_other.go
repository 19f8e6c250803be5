//go:build !linux && !darwin

package main

import (
	"errors"
	"os"
)

// terminal reports whether f is a terminal, as far as its mode tells.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// hideInput fails: what is written here would be shown.
func hideInput(*os.File) (restore func() error, err error) {
	return nil, errors.New("a terminal of this system cannot hide what is written; set the variable in place of it")
}
