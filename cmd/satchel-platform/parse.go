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

// parse reads the arguments and the environment. Its error joins all problems; the
// config is not nil then, and has all valid settings.
func parse(args, environ []string) (*config, error) {
	c := &config{command: "serve"}
	var errs []error
	wrong := func(err error) { errs = append(errs, err) }
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		c.command, args = args[0], args[1:]
		shown := quoted(c.command)
		if c.command == "admin" && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			c.command, shown, args = "admin "+args[0], "admin "+quoted(args[0]), args[1:]
		}
		if commands[c.command] == nil {
			wrong(fmt.Errorf("unknown command %s; want one of %s", shown, strings.Join(slices.Sorted(maps.Keys(commands)), ", ")))
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
		c.command = "" // the rest is ambiguous, so inspect does nothing
		return c, errors.Join(errs...)
	}
	if c.command != "" {
		if err := c.takeArguments(rest); err != nil {
			wrong(err)
			c.command = ""
		}
	}
	// In this order, because check needs all settings.
	wrong(c.takeEnvironment(flags, given, environ))
	wrong(c.check())
	c.complete()
	return c, errors.Join(errs...)
}

// takeFlags sets the flags at the beginning of args, records their names in given, and
// returns the arguments after them. It reports invalid values to wrong and continues.
// An unknown flag ends it with an error. FlagSet.Parse would stop at the first invalid
// value, with an untyped error.
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
			return nil, errors.New("invalid flag; write flags like -listen :8443")
		case name == "h" || name == "help":
			return nil, flag.ErrHelp
		case f == nil:
			return nil, fmt.Errorf("unknown flag -%s", name)
		case hasValue:
		case isSwitch(f):
			value = "true"
		case len(args) == 0:
			return nil, fmt.Errorf("missing value of -%s", name)
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

// isSwitch reports whether a flag needs no value.
func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// takeArguments takes the arguments after the flags.
func (c *config) takeArguments(rest []string) error {
	to, what := &c.file, "file"
	switch c.command {
	case "export", "import", "keygen":
	case "admin add", "admin rotate", "admin remove":
		to, what = &c.name, "name"
	default:
		switch {
		case len(rest) == 0:
			return nil
		case commands[rest[0]] != nil || rest[0] == "admin":
			return fmt.Errorf("unexpected argument %s; the command must come before all flags", quoted(rest[0]))
		default:
			return fmt.Errorf("unexpected argument %s; %s takes only flags", quoted(rest[0]), c.command)
		}
	}
	if len(rest) != 1 {
		return fmt.Errorf("%s takes one %s after the flags, but has %d arguments", c.command, what, len(rest))
	}
	*to = rest[0]
	return nil
}

// takeEnvironment sets the flags that are not given from their variables.
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
			errs = append(errs, fmt.Errorf("unknown setting %s in the environment; correct its name, or remove it", name))
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

// envName returns the environment variable of a flag.
func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// quoted quotes an argument that looks like a word. It leaves out the text of others,
// which may contain a password.
func quoted(argument string) string {
	if regexp.MustCompile(`^-?[A-Za-z_-]{1,30}$`).MatchString(argument) {
		return strconv.Quote(argument)
	}
	return `"…"`
}
