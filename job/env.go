package job

import (
	"cmp"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/envnames"
	"github.com/satchelhq/satchel/internal/wire"
)

// ownVariables are the runner's own, which hold tokens.
var ownVariables = []string{"SATCHEL_RUNNER_TOKEN", "SATCHEL_ADMIN_TOKEN"}

// maxVariable is the maximum length of "NAME=value" with its final NUL. It is the
// limit of Linux and applies on every system, so that jobs stay portable.
const maxVariable = 128 << 10

// DefaultPassEnv returns the default of [Job.PassEnv], for programs that add to it:
// PATH, HOME, LANG, TMPDIR, TERM, USER and TZ, and on Windows the variables that
// programs need to start. The slice is new for each call.
func DefaultPassEnv() []string {
	names := []string{"PATH", "HOME", "LANG", "TMPDIR", "TERM", "USER", "TZ"}
	if runtime.GOOS == "windows" {
		names = append(names, "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA")
	}
	return names
}

// variable is one "NAME=value" of an environment.
type variable struct{ name, value string }

// environment is a set of variables. The last one set with a name wins.
type environment []variable

func (e *environment) set(name, value string) {
	for i, v := range *e {
		if envnames.Fold(v.name) == envnames.Fold(name) {
			(*e)[i] = variable{name, value}
			return
		}
	}
	*e = append(*e, variable{name, value})
}

// lines returns the environment for package exec. It is never nil, which exec would
// replace with the environment of this process.
func (e environment) lines() []string {
	lines := make([]string, 0, len(e))
	for _, v := range e {
		lines = append(lines, v.name+"="+v.value)
	}
	return lines
}

// plainEnvironment returns the job's variables that are not secrets.
func (j *Job) plainEnvironment() (environment, error) {
	var env environment
	for _, name := range j.PassEnv {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return nil, invalid("PassEnv", fmt.Errorf("%q is not a valid variable name", name))
		}
		if value, ok := os.LookupEnv(name); ok {
			if err := checkOwn(name, "PassEnv"); err != nil {
				return nil, err
			}
			env.set(name, value)
		}
	}
	for i, line := range j.Env {
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.Contains(name, "\x00") {
			return nil, invalid("Env", fmt.Errorf(`entry %d does not have the form "NAME=value"`, i+1))
		}
		if token, ok := tokenIn(name); ok {
			return nil, invalid("Env", fmt.Errorf("the name in entry %d contains %s", i+1, token))
		}
		if err := checkOwn(name, "Env"); err != nil {
			return nil, err
		}
		env.set(name, value)
	}
	return env, env.check()
}

// checkOwn refuses the variables of tokens in a field of Job.
func checkOwn(name, field string) error {
	if !slices.Contains(ownVariables, envnames.Fold(name)) {
		return nil
	}
	return &bundle.Fault{
		Problem: name + " is reserved for the runner and must not reach a job",
		Setting: "job.Job." + field, Fix: "remove it from {job.Job." + field + "}",
	}
}

// invalid returns the error of an invalid field of Job.
func invalid(field string, err error) error {
	return &bundle.Fault{Problem: fmt.Sprintf("field {job.Job.%s}: %v", field, err), Setting: "job.Job." + field, Err: err}
}

// check refuses values that must not or cannot reach a job.
func (e environment) check() error {
	for _, v := range e {
		if err := checkText(v.value); err != nil {
			return fmt.Errorf("the variable %s %w", v.name, err)
		}
	}
	return nil
}

// tokenIn reports whether text contains a token of the platform, and its kind.
func tokenIn(text string) (kind string, ok bool) {
	token := wire.TokenPattern.FindString(text)
	if strings.HasPrefix(token, wire.AdminTokenPrefix) {
		return "an administrator's token", true
	}
	return "a runner token", token != ""
}

// checkText returns an error for a value or an argument that must not or cannot
// reach a job. The error does not contain the text and continues a sentence.
func checkText(text string) error {
	if token, ok := tokenIn(text); ok {
		return fmt.Errorf("contains %s, which must not reach a job; remove it, and revoke the token if it was disclosed", token)
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return fmt.Errorf("has a NUL at byte %d, which variables and arguments cannot contain; encode it", i)
	}
	return nil
}

// checkArgs checks the path, the working directory and the arguments.
func (j *Job) checkArgs() error {
	if err := checkText(j.Path); err != nil {
		return fmt.Errorf("the path of the program %w", err)
	}
	if err := checkText(j.Dir); err != nil {
		return fmt.Errorf("the working directory %w", err)
	}
	for i, arg := range j.Args {
		if err := checkText(arg); err != nil {
			return fmt.Errorf("argument %d %w", i+1, err)
		}
	}
	return nil
}

// checkNames checks the names in the job's fields, without any value.
func (j *Job) checkNames() error {
	folded := map[string]string{}
	for i, name := range slices.Concat(j.Secrets, j.Files) {
		field := "Secrets"
		if i >= len(j.Secrets) {
			field = "Files"
		}
		if err := bundle.CheckName(name); err != nil {
			return invalid(field, err)
		}
		if token, ok := tokenIn(name); ok {
			return invalid(field, fmt.Errorf("a name has the form of %s", token))
		}
		if other, ok := folded[envnames.Fold(name)]; ok && other != name {
			return &bundle.Fault{
				Problem: fmt.Sprintf("field {job.Job.%s}: %s and %s are the same variable on this system", field, other, name),
				Setting: "job.Job." + field, Fix: "remove one of them",
			}
		}
		folded[envnames.Fold(name)] = name
	}
	for _, name := range j.AllowNames {
		if err := bundle.CheckName(name); err != nil {
			return invalid("AllowNames", err)
		}
	}
	for i, c := range j.Git {
		if err := bundle.CheckName(c.Secret); err != nil {
			return invalid("Git", fmt.Errorf("the Secret of entry %d: %w", i+1, err))
		}
	}
	return j.checkRisky(slices.Concat(j.Secrets, j.Files))
}

// checkRisky refuses variables that can change what a program does.
func (j *Job) checkRisky(names []string) error {
	var refused []string
	for _, name := range names {
		if envnames.Risky(name) && !slices.Contains(j.AllowNames, name) && !slices.Contains(refused, name) {
			refused = append(refused, name)
		}
	}
	if refused == nil {
		return nil
	}
	return &bundle.Fault{
		Problem: fmt.Sprintf("secrets must not set %s, which can change what programs do", strings.Join(refused, ", ")),
		Setting: "job.Job.AllowNames", Fix: "rename them", Or: "allow them with {job.Job.AllowNames}",
	}
}

// execLimits are the system's limits for arguments and environment, in bytes.
type execLimits struct {
	variable int // for one variable or argument, with its NUL
	total    int // for all of them
	each     int // added for each, besides its text
}

const pointerSize = bits.UintSize / 8

// checkSize refuses arguments and variables that exec would refuse, and names the
// ones that are too large.
func (l execLimits) checkSize(path string, args []string, env environment) error {
	type item struct {
		name string
		size int
	}
	items := []item{}
	for _, v := range env {
		items = append(items, item{v.name, len(v.name) + 1 + len(v.value) + 1})
	}
	for i, arg := range args {
		items = append(items, item{fmt.Sprintf("argument %d", i+1), len(arg) + 1})
	}
	slices.SortStableFunc(items, func(x, y item) int { return cmp.Compare(y.size, x.size) })
	list := func(items []item) string {
		var texts []string
		for _, i := range items {
			texts = append(texts, fmt.Sprintf("%s (%d bytes)", i.name, i.size))
		}
		return strings.Join(texts, ", ")
	}
	over := 0
	for over < len(items) && items[over].size > l.variable {
		over++
	}
	if over > 0 {
		return &bundle.Fault{
			Problem: fmt.Sprintf("too large for an environment: %s; the limit is %d bytes each", list(items[:over]), l.variable),
			Setting: "job.Job.Files", Fix: "deliver them as files",
		}
	}
	total := 2*(len(path)+1) + l.each // the program's path is also its argument 0
	for _, i := range items {
		total += i.size + l.each
	}
	if total <= l.total {
		return nil
	}
	rest := total
	for over < len(items) && rest > l.total {
		rest -= items[over].size + l.each
		over++
	}
	return &bundle.Fault{
		Problem: fmt.Sprintf("the environment and the arguments have %d bytes, and the system's limit is %d; the largest are %s", total, l.total, list(items[:over])),
		Setting: "job.Job.Files", Fix: "deliver them as files, or remove them",
	}
}
