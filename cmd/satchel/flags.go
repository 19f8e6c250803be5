package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// flagSet is the flags of one command.
type flagSet struct {
	*flag.FlagSet
	p       *program
	command string
}

// flags returns an empty set for a command.
func (p *program) flags(command string) *flagSet {
	set := flag.NewFlagSet(command, flag.ContinueOnError)
	set.SetOutput(io.Discard) // parse says it
	set.Usage = func() {}
	return &flagSet{set, p, command}
}

func (f *flagSet) jsonFlag() *bool {
	return f.Bool("json", false, "print JSON, for programs")
}

// given reports whether a flag is on the command line. It is for after parsing.
func (f *flagSet) given(name string) bool {
	found := false
	f.Visit(func(known *flag.Flag) { found = found || known.Name == name })
	return found
}

// list adds a flag that may be given several times.
func (f *flagSet) list(name, usage string) *[]string {
	values := &[]string{}
	f.Func(name, usage, func(s string) error {
		*values = append(*values, s)
		return nil
	})
	return values
}

// duration adds a flag for a time that is not negative.
func (f *flagSet) duration(name string, standard time.Duration, usage string) *time.Duration {
	f.Var((*duration)(&standard), name, usage)
	return &standard
}

// duration is the value of such a flag.
type duration time.Duration

func (d *duration) String() string { return time.Duration(*d).String() }

func (d *duration) Set(text string) error {
	got, err := time.ParseDuration(text)
	if err != nil || got < 0 {
		return errors.New("want a time such as 30s or 5m, not below 0")
	}
	*d = duration(got)
	return nil
}

// checkNames refuses what cannot be the name of a secret. It is for after
// parsing.
func (f *flagSet) checkNames(flag string, names []string) error {
	for _, name := range names {
		if err := bundle.CheckName(name); err != nil {
			return f.wrong("--" + flag + ": " + err.Error())
		}
	}
	return nil
}

// parse returns the arguments that are no flags. Flags may come after them, up
// to "--".
func (f *flagSet) parse(args []string) ([]string, error) {
	var others []string
	for {
		rest, err := f.parseLeading(args)
		if err != nil {
			return nil, err
		}
		ended := len(args) > len(rest) && args[len(args)-len(rest)-1] == "--"
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
		err = f.wrong("it takes no arguments, only flags")
	}
	return others, err
}

// parseLeading is parse for a command line that has another one in it: the
// first argument that is no flag ends the flags.
func (f *flagSet) parseLeading(args []string) ([]string, error) {
	err := f.Parse(args)
	if err == nil {
		return f.Args(), nil
	}
	if errors.Is(err, flag.ErrHelp) {
		f.printHelp()
		return nil, exitCode(0)
	}
	if name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); unknown {
		var names []string
		f.VisitAll(func(known *flag.Flag) { names = append(names, known.Name) })
		return nil, f.wrong("there is no flag --" + strings.TrimPrefix(name, "-") + nearestWith(name, names, "--"))
	}
	return nil, f.wrong(twoDashes.Replace(err.Error()))
}

// twoDashes writes flags as the help does, where package flag speaks of them.
var twoDashes = strings.NewReplacer(
	"flag needs an argument: -", "flag needs an argument: --",
	"\" for flag -", "\" for flag --",
	"\" for -", "\" for --", // of flags without an argument
)

// wrong returns the error for a command line that cannot be meant.
func (f *flagSet) wrong(text string) error {
	return &usageError{fmt.Sprintf("%s; see `satchel %s --help`", text, f.command)}
}
