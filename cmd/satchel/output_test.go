package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log := (&program{err: &out}).logger(flagNames)
	log.Info("not a warning")
	log.Warn("job ended", "error", &bundle.Fault{Problem: "X is refused", Or: "allow it in {job.Job.AllowNames}"}, "other", errors.New("gone"))
	require.Regexp(t, `^time=\S+ level=WARN msg="job ended" error="X is refused; allow it in --allow" other=gone\n$`, out.String())

	out.Reset()
	(&program{err: &out}).logger(taskNames).Warn("job ended", "error", &bundle.Fault{Problem: "X is refused", Fix: "rename it", Or: "allow it in {job.Job.AllowNames}"})
	require.Regexp(t, ` error="X is refused; rename it"\n$`, out.String(), "a job of serve cannot lift its own restrictions")
}
