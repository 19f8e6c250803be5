package main

import (
	"fmt"
	"strings"

	"github.com/satchelhq/satchel/job"
)

// onRotate parses the action for a changed secret of a job: empty, "leave", "restart"
// or the name of a signal.
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

// onSignal parses the name of a signal, with or without SIG.
func onSignal(text string) (job.RotateAction, error) {
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG")
	s := signalNamed(name)
	switch {
	case s == 0:
		return 0, fmt.Errorf("unknown signal %q; want one such as HUP or USR1", text)
	case name == "SIGKILL" || name == "SIGSTOP":
		return 0, fmt.Errorf("signal %q cannot be handled by a program; want one such as HUP or USR1", text)
	}
	return job.Signal(s), nil
}
