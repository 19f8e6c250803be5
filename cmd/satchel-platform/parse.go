package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// parse reads the arguments and the environment. Beside an error, which has all
// that is wrong with them, it returns what it could read.
func parse(args, environ []string) (*config, error) {
	c := &config{command: "serve"}
	var errs []error
	wrong := func(err error) { errs = append(errs, err) }
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		c.command, args = args[0], args[1:]
		if commands[c.command] == nil {
			wrong(fmt.Errorf("%s is no command; want one of %s", quoted(c.command), strings.Join(slices.Sorted(maps.Keys(commands)), ", ")))
			c.command = ""
		}
	}
	flags := flag.NewFlagSet("satchel-platform", flag.ContinueOnError)
	for _, group := range groups {
		group.flags(c, flags)
	}
	given := map[string]bool{}
	rest, err := takeFlags(flags, args, given, wrong)
	if errors.Is(err, flag.ErrHelp) {
		return c, err
	}
	if err != nil {
		wrong(err)
		c.command = "" // what comes after is not known, so nothing is looked at
		return c, errors.Join(errs...)
	}
	if c.command != "" {
		wrong(c.takeArguments(rest))
	}
	// In this order: check looks at what the others have set.
	wrong(c.takeEnvironment(flags, given, environ))
	wrong(c.check())
	c.complete()
	return c, errors.Join(errs...)
}

// takeFlags sets the flags that args start with, notes their names in given, and
// returns the arguments after them. It tells wrong of a value that is refused, and
// reads on; an argument that is not a flag although it looks like one ends it.
// FlagSet.Parse stops at the first value that is refused, and its errors are text
// alone.
func takeFlags(flags *flag.FlagSet, args []string, given map[string]bool, wrong func(error)) (rest []string, err error) {
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		if args[0] == "--" {
			return args[1:], nil
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(args[0][1:], "-"), "=")
		args = args[1:]
		f := flags.Lookup(name)
		switch {
		case name == "" || name[0] == '-':
			return nil, errors.New("an argument starts like a flag and is none; write flags like -listen :8443")
		case name == "h" || name == "help":
			return nil, flag.ErrHelp
		case f == nil:
			return nil, fmt.Errorf("flag provided but not defined: -%s", name)
		case hasValue:
		case isSwitch(f):
			value = "true"
		case len(args) == 0:
			return nil, fmt.Errorf("flag needs an argument: -%s", name)
		default:
			value, args = args[0], args[1:]
		}
		given[name] = true
		if err := set(f.Value, value); err != nil {
			wrong(fmt.Errorf("-%s: %w", name, err))
		}
	}
	return args, nil
}

// isSwitch reports whether a flag stands without a value.
func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// takeArguments takes what follows the flags.
func (c *config) takeArguments(rest []string) error {
	switch c.command {
	case "export", "import", "keygen":
		if len(rest) != 1 {
			return fmt.Errorf("%s takes one file, after the flags; %d arguments are there", c.command, len(rest))
		}
		c.file = rest[0]
	default:
		if len(rest) > 0 {
			return fmt.Errorf("%s is no flag; a command comes before all flags", quoted(rest[0]))
		}
	}
	return nil
}

// takeEnvironment sets the flags that are not there from their variables.
func (c *config) takeEnvironment(flags *flag.FlagSet, given map[string]bool, environ []string) error {
	byVariable := map[string]*flag.Flag{}
	flags.VisitAll(func(f *flag.Flag) { byVariable[envName(f.Name)] = f })
	var errs []error
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(variable, "=")
		if name == adminTokenEnv {
			c.adminToken = value
		}
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		f := byVariable[name]
		switch {
		case f == nil:
			errs = append(errs, fmt.Errorf("%s is in the environment, and there is no such setting; remove it", name))
			continue
		case given[f.Name] || value == "":
			continue
		}
		values := []string{value}
		if _, ok := f.Value.(interface{ repeated() }); ok {
			values = strings.Split(value, ";")
		}
		for _, value := range values {
			if err := set(f.Value, strings.TrimSpace(value)); err != nil {
				errs = append(errs, fmt.Errorf("%s (-%s): %w", name, f.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// envName returns the variable that stands for a flag.
func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// quoted shows an argument if it looks like a word. Others may hold a password.
func quoted(argument string) string {
	if regexp.MustCompile(`^-?[A-Za-z_-]{1,30}$`).MatchString(argument) {
		return strconv.Quote(argument)
	}
	return "an argument"
}
