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

// task is the JSON of a job.
type task struct {
	Name    string            `json:"name"`
	Command []string          `json:"command"`
	Secrets []string          `json:"secrets"`
	Env     map[string]string `json:"env"`
	// Dir is the job's folder. Default: an empty folder of its own.
	Dir string `json:"dir"`
	// OnRotate is the action when a secret of the running job changes: "leave",
	// "restart" or the name of a signal. Default: leave.
	OnRotate string `json:"on_rotate"`
}

// maxTask is the largest size of a job's JSON, in bytes.
const maxTask = 1 << 20

// parseTask parses and checks the JSON of a job.
func parseTask(src []byte) (task, error) {
	var t task
	decoder := json.NewDecoder(bytes.NewReader(src))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&t)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = errors.New("unexpected data after the object")
		}
	}
	if err != nil {
		return t, fmt.Errorf("invalid job: %w; `satchel serve --help` has an example", inJobs(src, err))
	}
	if len(t.Command) == 0 || t.Command[0] == "" {
		return t, errors.New(`missing command; write "command": ["make", "deploy"]`)
	}
	_, err = onRotate(t.OnRotate)
	return t, err
}

// wantedOf describes the fields of a job.
var wantedOf = map[string]string{
	"name":      `a string such as "nightly"`,
	"command":   `a list of strings such as ["make", "deploy"]`,
	"secrets":   `a list of names such as ["DEPLOY_TOKEN"]`,
	"env":       `an object of strings such as {"STAGE": "test"}`,
	"dir":       `a string such as "/srv/app"`,
	"on_rotate": `a string: "leave", "restart" or the name of a signal`,
}

// unknownField returns the first name in src that is not a field of a job.
func unknownField(src []byte) (name string, found bool) {
	var all map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(src)).Decode(&all) != nil {
		return "", false
	}
	known := slices.Collect(maps.Keys(wantedOf))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		// Package json ignores case too.
		if !slices.ContainsFunc(known, func(field string) bool { return strings.EqualFold(field, name) }) {
			return name, true
		}
	}
	return "", false
}

// inJobs returns the decoding error err of src in terms of jobs, without Go types.
func inJobs(src []byte, err error) error {
	unknown, isUnknown := unknownField(src)
	mismatch, isMismatch := errors.AsType[*json.UnmarshalTypeError](err)
	malformed, isMalformed := errors.AsType[*json.SyntaxError](err)
	switch {
	case isUnknown:
		return fmt.Errorf("unknown field %q%s", unknown, nearest(unknown, slices.Sorted(maps.Keys(wantedOf))))
	case isMismatch && mismatch.Field == "":
		return fmt.Errorf("it is of type %s; want an object", mismatch.Value)
	case isMismatch:
		return fmt.Errorf("invalid %q; want %s", mismatch.Field, wantedOf[mismatch.Field])
	case isMalformed:
		return fmt.Errorf("invalid JSON at byte %d: %w", malformed.Offset, err)
	case errors.Is(err, io.EOF):
		return errors.New("it is empty; want an object")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("unexpected end of the JSON")
	}
	return err
}
