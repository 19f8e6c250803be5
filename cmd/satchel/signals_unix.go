//go:build unix

package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// signalNamed returns the signal with the given name, such as SIGHUP, or 0.
func signalNamed(name string) syscall.Signal { return unix.SignalNum(name) }
