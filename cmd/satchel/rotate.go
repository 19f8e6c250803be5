package main

import (
	"fmt"
	"strings"

	"github.com/satchelhq/satchel/job"
)

// onRotate reads what is to happen when a secret of a job changes.
func onRotate(text string) (job.RotateAction, error) {
	switch text {
	case "", "leave":
		return job.Leave, nil
	case "restart":
		return job.Restart, nil
	}
	action, err := onSignal(text)
	if err != nil {
		return 0, fmt.Errorf(`"on_rotate": %w, or "leave" or "restart"`, err)
	}
	return action, nil
}

// onSignal reads the name of a signal that a job is to get.
func onSignal(text string) (job.RotateAction, error) {
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG")
	s := signalNamed(name)
	switch {
	case s == 0:
		return 0, fmt.Errorf("%q is no signal of this system; want one such as HUP or USR1", text)
	case name == "SIGKILL" || name == "SIGSTOP":
		return 0, fmt.Errorf("%q is no signal that a program can answer; want one such as HUP or USR1", text)
	}
	return job.Signal(s), nil
}
