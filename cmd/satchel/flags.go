package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// flagSet has the flags of one command. Use its parse methods in place of Parse,
// which stops at the first argument that is not a flag and returns untyped errors.
type flagSet struct {
	*flag.FlagSet
	p       *program
	command string
}

// flags returns an empty set for the command.
func (p *program) flags(command string) *flagSet {
	return &flagSet{flag.NewFlagSet(command, flag.ContinueOnError), p, command}
}

func (f *flagSet) jsonFlag() *bool {
	return f.Bool("json", false, "print JSON")
}

// given reports whether a flag is on the command line. Call it after parsing.
func (f *flagSet) given(name string) bool {
	found := false
	f.Visit(func(known *flag.Flag) { found = found || known.Name == name })
	return found
}

// list adds a flag that may be repeated.
func (f *flagSet) list(name, usage string) *[]string {
	values := &[]string{}
	f.Func(name, usage, func(s string) error {
		*values = append(*values, s)
		return nil
	})
	return values
}

// duration adds a flag for a time of 0 or more.
func (f *flagSet) duration(name string, standard time.Duration, usage string) *time.Duration {
	f.Var((*duration)(&standard), name, usage)
	return &standard
}

// duration is the value of a flag for a time of 0 or more.
type duration time.Duration

func (d *duration) String() string { return time.Duration(*d).String() }

func (d *duration) Set(text string) error {
	got, err := time.ParseDuration(text)
	if err != nil || got < 0 {
		return errors.New("want a time of 0 or more, such as 30s or 5m")
	}
	*d = duration(got)
	return nil
}

// checkNames returns a usage error for the first invalid name of a secret. Call it
// after parsing.
func (f *flagSet) checkNames(flag string, names []string) error {
	for _, name := range names {
		if err := bundle.CheckName(name); err != nil {
			return f.wrong("--" + flag + ": " + err.Error())
		}
	}
	return nil
}

// parse returns the arguments that are not flags. Flags may follow arguments, up to
// "--".
func (f *flagSet) parse(args []string) ([]string, error) {
	var others []string
	for {
		rest, ended, err := f.leading(args)
		if err != nil {
			return nil, err
		}
		if len(rest) == 0 || ended {
			return append(others, rest...), nil
		}
		others, args = append(others, rest[0]), rest[1:]
	}
}

// parseNone is parse for a command that takes flags only.
func (f *flagSet) parseNone(args []string) ([]string, error) {
	others, err := f.parse(args)
	if err == nil && len(others) > 0 {
		err = f.wrong("this command takes no arguments, only flags")
	}
	return others, err
}

// parseLeading is parse for a command line that contains another one: the first
// argument that is not a flag ends the flags.
func (f *flagSet) parseLeading(args []string) ([]string, error) {
	rest, _, err := f.leading(args)
	return rest, err
}

// leading sets the flags at the beginning of args, and returns the arguments after
// them. ended reports whether "--" ended the flags.
func (f *flagSet) leading(args []string) (rest []string, ended bool, err error) {
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		if args[0] == "--" {
			return args[1:], true, nil
		}
		if args, err = f.setFirst(args); err != nil {
			return nil, false, err
		}
	}
	return args, false, nil
}

// setFirst sets the flag in the first of args, and returns the arguments after it
// and its value.
func (f *flagSet) setFirst(args []string) (rest []string, err error) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(args[0][1:], "-"), "=")
	args = args[1:]
	known := f.Lookup(name)
	switch {
	case known == nil && (name == "h" || name == "help"):
		f.printHelp()
		return nil, exitCode(0)
	case known == nil:
		var names []string
		f.VisitAll(func(known *flag.Flag) { names = append(names, known.Name) })
		return nil, f.wrong("unknown flag --" + name + nearestWith(name, names, "--"))
	case hasValue:
	case isSwitch(known):
		value = "true"
	case len(args) == 0:
		return nil, f.wrong("missing value of --" + name)
	default:
		value, args = args[0], args[1:]
	}
	if err := f.Set(name, value); err != nil {
		getter, _ := known.Value.(flag.Getter) // those of package flag, whose errors are vague
		switch {
		case isSwitch(known):
			err = errors.New("want true or false")
		case getter != nil:
			err = errors.New("want a whole number")
		}
		return nil, f.wrong(fmt.Sprintf("invalid value %q for flag --%s: %v", value, name, err))
	}
	return args, nil
}

// isSwitch reports whether a flag needs no value.
func isSwitch(known *flag.Flag) bool {
	value, ok := known.Value.(interface{ IsBoolFlag() bool })
	return ok && value.IsBoolFlag()
}

// wrong returns a usage error that refers to the command's help.
func (f *flagSet) wrong(text string) error {
	return &usageError{fmt.Sprintf("%s; see `satchel %s --help`", text, f.command)}
}
