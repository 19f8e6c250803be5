package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// task is a job as it is asked for.
type task struct {
	Name    string            `json:"name"`
	Command []string          `json:"command"`
	Secrets []string          `json:"secrets"`
	Env     map[string]string `json:"env"`
	Dir     string            `json:"dir"`
	// OnRotate is what happens when a secret of the job changes while it runs:
	// "leave", "restart" or the name of a signal. Default: leave.
	OnRotate string `json:"on_rotate"`
}

// maxTask is the size of the longest job that is read, in bytes.
const maxTask = 1 << 20

func parseTask(src []byte) (task, error) {
	var t task
	decoder := json.NewDecoder(bytes.NewReader(src))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&t)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = errors.New("there is something behind it; want one object alone")
		}
	}
	if err != nil {
		return t, fmt.Errorf("the job cannot be read: %w; `satchel serve --help` has an example", inJobs(src, err))
	}
	if len(t.Command) == 0 || t.Command[0] == "" {
		return t, errors.New(`the job has no command; write "command": ["make", "deploy"]`)
	}
	_, err = onRotate(t.OnRotate)
	return t, err
}

// wantedOf says what the fields of a job are.
var wantedOf = map[string]string{
	"name":      `a string such as "nightly"`,
	"command":   `a list of strings such as ["make", "deploy"]`,
	"secrets":   `a list of names such as ["DEPLOY_TOKEN"]`,
	"env":       `an object of strings such as {"STAGE": "test"}`,
	"dir":       `a string such as "/srv/app"`,
	"on_rotate": `a string: "leave", "restart" or the name of a signal`,
}

// unknownField returns a name in src that is no field of a job.
func unknownField(src []byte) (name string, found bool) {
	var all map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(src)).Decode(&all) != nil {
		return "", false
	}
	known := slices.Collect(maps.Keys(wantedOf))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		// Package json does not care about case either.
		if !slices.ContainsFunc(known, func(field string) bool { return strings.EqualFold(field, name) }) {
			return name, true
		}
	}
	return "", false
}

// inJobs puts what a job is where package json, which could not decode src,
// speaks of Go.
func inJobs(src []byte, err error) error {
	unknown, isUnknown := unknownField(src)
	mismatch, isMismatch := errors.AsType[*json.UnmarshalTypeError](err)
	malformed, isMalformed := errors.AsType[*json.SyntaxError](err)
	switch {
	case isUnknown:
		return fmt.Errorf("unknown field %q%s", unknown, nearest(unknown, slices.Sorted(maps.Keys(wantedOf))))
	case isMismatch && mismatch.Field == "":
		return fmt.Errorf("it is of the type %s; want an object", mismatch.Value)
	case isMismatch:
		return fmt.Errorf("%q is wrong; want %s", mismatch.Field, wantedOf[mismatch.Field])
	case isMalformed:
		return fmt.Errorf("it is no JSON, at byte %d: %w", malformed.Offset, err)
	case errors.Is(err, io.EOF):
		return errors.New("it is empty; want an object")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early")
	}
	return err
}
