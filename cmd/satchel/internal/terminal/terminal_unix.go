//go:build linux || darwin

// Package terminal detects terminals and hides what the user types.
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

// HideInput turns off the echo of the terminal f until restore is called. Line editing
// and signals stay on. It fails if f is not a terminal.
func HideInput(f *os.File) (restore func() error, err error) {
	fd := int(f.Fd())
	was, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, os.NewSyscallError("reading terminal settings", err)
	}
	quiet := *was
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ISIG
	quiet.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, setTermios, &quiet); err != nil {
		return nil, os.NewSyscallError("changing terminal settings", err)
	}
	return func() error { return unix.IoctlSetTermios(fd, setTermios, was) }, nil
}
