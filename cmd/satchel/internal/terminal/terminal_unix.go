//go:build linux || darwin

// Package terminal asks a terminal not to show what is written there.
package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// Is reports whether f is a terminal.
func Is(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	return err == nil
}

// HideInput makes a terminal not show what is written, until restore is called.
func HideInput(f *os.File) (restore func() error, err error) {
	fd := int(f.Fd())
	was, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, os.NewSyscallError("reading the terminal's settings", err)
	}
	quiet := *was
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ISIG
	quiet.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, setTermios, &quiet); err != nil {
		return nil, os.NewSyscallError("changing the terminal's settings", err)
	}
	return func() error { return unix.IoctlSetTermios(fd, setTermios, was) }, nil
}
