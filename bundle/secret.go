package bundle

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxName is the maximum length of a secret's name, in bytes.
const MaxName = 128

// Secret is a named value with its metadata.
type Secret struct {
	// Name matches [A-Za-z_][A-Za-z0-9_]* and has at most [MaxName] bytes.
	Name string
	// Value holds the plaintext: valid UTF-8 without NUL, and possibly empty.
	Value Value
	// Origin is the place that the value came from. It is safe to log.
	Origin Origin
	// Kind names the issuer of the value, such as "anthropic", "github" or
	// "custom". Default: empty, for an unknown issuer.
	Kind string
	// Scope is the vault scope that the value came from. Default: empty, for a
	// value from another source.
	Scope string
	// Version counts the values that this name has had in its scope. Default:
	// 0, for a source without versions.
	Version int64
	// Created is the time at which the name got its first value, Rotated the
	// time at which the current value replaced an earlier one, and Expires the
	// time at which the current value expires. Default: zero, for unknown.
	Created, Rotated, Expires time.Time
	// Delivery is the way the value reaches a job. Default: [DeliverEnv].
	Delivery Delivery
	// Literal reports whether the source marks the whole value as literal text, as
	// single quotes do in a .env file, so that ${VAR} in it is no reference. It is a
	// hint for warnings; values are never expanded. Default: false, unknown.
	Literal bool
}

// Origin describes the place that a value came from. It is meant for people and
// holds no secret.
type Origin struct {
	// Provider is the kind of the provider, such as "dotenv" or "bootstrap".
	Provider string
	// Location is the place within the provider: a file and line, a URL, a
	// path. It may be empty.
	Location string
}

// String returns the provider and the location, such as "dotenv .env:12".
func (o Origin) String() string {
	return strings.TrimSpace(o.Provider + " " + o.Location)
}

// FileLine splits a location that is a line of a file, such as ".env:3". ok is
// false for other locations.
func (o Origin) FileLine() (file, line string, ok bool) {
	i := strings.LastIndexByte(o.Location, ':')
	if i <= 0 || strings.Contains(o.Location, "://") { // a URL's number is its port
		return "", "", false
	}
	file, line = o.Location[:i], o.Location[i+1:]
	return file, line, line != "" && strings.Trim(line, "0123456789") == ""
}

// Removal returns the instruction that removes the value at this origin, such as
// "remove line 3 of .env".
func (o Origin) Removal() string {
	if file, line, ok := o.FileLine(); ok {
		return "remove line " + line + " of " + file
	}
	return "remove it from " + o.String()
}

// aside returns the origin in parentheses, or "" if it is empty.
func (o Origin) aside() string {
	if o == (Origin{}) {
		return ""
	}
	return " (" + o.String() + ")"
}

// Delivery is the way a value reaches a job.
type Delivery string

const (
	// DeliverEnv sets the environment variable with the secret's name to the
	// value.
	DeliverEnv Delivery = "env"
	// DeliverFile writes the value to a private file that exists while the job
	// runs, and sets the environment variable NAME_FILE to its path.
	DeliverFile Delivery = "file"
	// DeliverBroker does not give the value to the job: another component uses
	// it on the job's behalf.
	DeliverBroker Delivery = "broker"
)

// CheckName returns nil if name is a valid name of a secret, and otherwise an
// error that states the broken rule and quotes the name, or its first 16 bytes if
// it is too long.
func CheckName(name string) error {
	if name == "" {
		return errors.New("the name is empty; want letters, digits and _, not starting with a digit")
	}
	if len(name) > MaxName {
		return fmt.Errorf("the name that starts with %q has %d bytes; at most %d are allowed", name[:16], len(name), MaxName)
	}
	for i, c := range name {
		if letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'; !letter && (i == 0 || c < '0' || c > '9') {
			return fmt.Errorf("the name %q has %q at byte %d; want letters, digits and _, not starting with a digit", name, c, i)
		}
	}
	return nil
}

// CheckValue returns nil if v is a valid value of a secret, and otherwise an
// error that states the broken rule. A value has no NUL, because environment
// variables cannot hold one, and is valid UTF-8, because JSON cannot carry
// anything else. The error gives a byte offset, never a part of the value.
func CheckValue(v Value) error {
	s := v.Reveal()
	if i := strings.IndexByte(s, 0); i >= 0 {
		return fmt.Errorf("the value has a NUL at byte %d; encode binary data, for example as base64", i)
	}
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Errorf("the value is not valid UTF-8 at byte %d; encode binary data, for example as base64", i)
		}
		i += size
	}
	return nil
}

// check returns nil if s is valid, and otherwise an error that names s and its
// origin.
func (s *Secret) check() error {
	err := CheckName(s.Name)
	if err == nil {
		err = CheckValue(s.Value)
	}
	if err == nil {
		switch s.Delivery {
		case DeliverEnv, DeliverFile, DeliverBroker:
		default:
			err = fmt.Errorf("unknown delivery %q; want %q, %q or %q", s.Delivery, DeliverEnv, DeliverFile, DeliverBroker)
		}
	}
	if err != nil {
		return fmt.Errorf("secret %q%s: %w", clip(s.Name), s.Origin.aside(), err)
	}
	return nil
}

// clip shortens an unchecked name for an error.
func clip(s string) string {
	if len(s) > MaxName {
		return s[:16] + "…"
	}
	return s
}
