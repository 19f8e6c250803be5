package bundle

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxName is the longest name of a secret, in bytes.
const MaxName = 128

// Secret is one named value and what is known about it.
type Secret struct {
	// Name matches [A-Za-z_][A-Za-z0-9_]* and has at most [MaxName] bytes.
	Name  string
	Value Value
	// Origin is where the value was found. It is safe to log.
	Origin Origin
	// Kind is who issued the value, such as "anthropic", "github", "custom".
	Kind string
	// Scope is the vault scope that the value came from, if any.
	Scope string
	// Version counts the values that this name has had in its scope. It is 0
	// where the source has no versions.
	Version int64
	// Created is when the name got its first value, Rotated when it got this
	// one, if this is another, and Expires when this one ends. Each is zero
	// where it is not known.
	Created, Rotated, Expires time.Time
	// Delivery is how the value reaches a job. The zero value means DeliverEnv.
	Delivery Delivery
}

// Origin says where a value was found, for people: the kind of provider and
// the place within it.
type Origin struct{ Provider, Location string }

// String returns both parts, such as "dotenv .env:12".
func (o Origin) String() string {
	return strings.TrimSpace(o.Provider + " " + o.Location)
}

// FileLine returns the parts of a location that is a line of a file, such as
// ".env:3", and whether it is one.
func (o Origin) FileLine() (file, line string, ok bool) {
	i := strings.LastIndexByte(o.Location, ':')
	if i <= 0 || strings.Contains(o.Location, "://") { // a URL's number is its port
		return "", "", false
	}
	file, line = o.Location[:i], o.Location[i+1:]
	return file, line, line != "" && strings.Trim(line, "0123456789") == ""
}

// Removal returns how to remove the value found there, as an instruction such as
// "remove line 3 of .env".
func (o Origin) Removal() string {
	if file, line, ok := o.FileLine(); ok {
		return "remove line " + line + " of " + file
	}
	return "remove it from " + o.String()
}

// aside returns the origin in brackets, or nothing if it is empty.
func (o Origin) aside() string {
	if o == (Origin{}) {
		return ""
	}
	return " (" + o.String() + ")"
}

// Delivery is how a value reaches a job.
type Delivery string

const (
	// DeliverEnv puts the value into the environment variable of that name.
	DeliverEnv Delivery = "env"
	// DeliverFile writes the value to a private file for the time of the job
	// and puts its path into NAME_FILE.
	DeliverFile Delivery = "file"
	// DeliverBroker keeps the value away from the job: something else uses it
	// on the job's behalf.
	DeliverBroker Delivery = "broker"
)

// CheckName returns nil if name can be the name of a secret, and otherwise an
// error that says which rule it breaks.
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

// CheckValue returns nil if v can be the value of a secret, and otherwise an
// error that says which rule it breaks: no NUL, because no environment
// variable can hold one, and valid UTF-8, because JSON cannot carry the rest.
// The error gives a position and never a part of the value.
func CheckValue(v Value) error {
	s := v.Reveal()
	if i := strings.IndexByte(s, 0); i >= 0 {
		return fmt.Errorf("the value has a NUL at byte %d; encode binary data, as base64 for instance", i)
	}
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Errorf("the value is not valid UTF-8 at byte %d; encode binary data, as base64 for instance", i)
		}
		i += size
	}
	return nil
}

// check returns what is wrong with s, naming it and its origin.
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

// clip shortens what may be anything before it goes into an error.
func clip(s string) string {
	if len(s) > MaxName {
		return s[:16] + "…"
	}
	return s
}
