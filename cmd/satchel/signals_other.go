//go:build !unix

package main

import "syscall"

// signalNamed returns 0: this system has no signals.
func signalNamed(string) syscall.Signal { return 0 }
