package bundle

import (
	"cmp"
	"errors"
	"iter"
	"regexp"
	"strings"
)

// Fault is an error with advice as data: the problem, the setting that causes it,
// and the fix. A program can print it in terms of its own flags or form fields
// instead of Go fields:
//
//	flags := map[string]string{"job.Job.AllowNames": "--allow"}
//	fmt.Println(bundle.Explain(err, func(setting string) string { return flags[setting] }))
//
// Problem, Fix and Or refer to a setting as {job.Job.AllowNames}: the package,
// the type and the field, in braces. Error shows only the field.
//
// A Fault holds no secret value. It can be the Err of a [FetchError].
type Fault struct {
	// Problem describes the problem. Default: the text of Err.
	Problem string
	// Setting is the field that causes the problem or can solve it, such as
	// "providers.Platform.URL". Default: empty, for none.
	Setting string
	// Fix is the instruction that solves the problem. Default: empty, for no
	// advice or only Or.
	Fix string
	// Or is an alternative to Fix that is shown only by programs that have all
	// the settings it refers to. Default: empty, for none.
	Or string
	// Retryable reports whether the problem may go away without a fix. Default:
	// false.
	Retryable bool
	// Err is the cause. Its text is shown only if Problem is empty. Default:
	// nil, for none.
	Err error
}

// Error returns "problem; fix, or alternative", with settings as Go fields.
func (f *Fault) Error() string { return f.Text(nil) }

// Unwrap returns the cause, which may be nil.
func (f *Fault) Unwrap() error { return f.Err }

// Text is Error in the terms of a program. name returns the program's name for a
// setting, such as "--allow" for "job.Job.AllowNames", or "" if the program does
// not have the setting: an Or that refers to it is then omitted, and Problem and
// Fix show the Go field. A nil name shows Go fields.
func (f *Fault) Text(name func(setting string) string) string {
	problem, fix := f.Parts(name)
	if fix == "" {
		return problem
	}
	return problem + "; " + fix
}

// Parts returns the problem and the fix of Text separately; see [Fault.Text] for
// name. fix is empty if there is no advice.
func (f *Fault) Parts(name func(setting string) string) (problem, fix string) {
	if name == nil {
		name = fieldName
	}
	problem, fix = f.Problem, f.Fix
	if problem == "" && f.Err != nil {
		problem = Explain(f.Err, name)
	}
	problem, _ = withNames(problem, name)
	fix, _ = withNames(fix, name)
	or, complete := withNames(f.Or, name)
	switch {
	case or == "" || !complete:
	case fix == "":
		fix = or
	default:
		fix += ", or " + or
	}
	return problem, fix
}

// Explain returns the text of err with each [Fault] in its tree in the terms of a
// program; see [Fault.Text] for name. It returns "" for a nil err.
func Explain(err error, name func(setting string) string) string {
	if err == nil {
		return ""
	}
	// An error that wraps a fault contains its original text, so each fault is
	// searched for once, after the previous one.
	var out strings.Builder
	rest := err.Error()
	for f := range faults(err) {
		if before, after, found := strings.Cut(rest, f.Error()); found {
			out.WriteString(before + f.Text(name))
			rest = after
		}
	}
	return out.String() + rest
}

// replace is strings.ReplaceAll that never matches an empty old text.
func replace(text, old, new string) string {
	if old == "" {
		return text
	}
	return strings.ReplaceAll(text, old, new)
}

// faults yields the outermost faults in the tree of err.
func faults(err error) iter.Seq[*Fault] {
	return func(yield func(*Fault) bool) { walkFaults(err, yield) }
}

func walkFaults(err error, yield func(*Fault) bool) bool {
	if f, ok := err.(*Fault); ok {
		return yield(f)
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			if !walkFaults(err, yield) {
				return false
			}
		}
		return true
	}
	if err = errors.Unwrap(err); err != nil {
		return walkFaults(err, yield)
	}
	return true
}

var settingRef = regexp.MustCompile(`\{[a-z]\w*\.[A-Z]\w*\.[A-Z][\w.]*\}`)

// withNames replaces the references to settings in text. complete is false if
// name does not know one of them.
func withNames(text string, name func(string) string) (replaced string, complete bool) {
	complete = true
	replaced = settingRef.ReplaceAllStringFunc(text, func(ref string) string {
		setting := ref[1 : len(ref)-1]
		known := name(setting)
		complete = complete && known != ""
		return cmp.Or(known, fieldName(setting))
	})
	return replaced, complete
}

// fieldName returns the field of a setting: "PassEnv" for "job.Job.PassEnv".
func fieldName(setting string) string {
	parts := strings.SplitN(setting, ".", 3)
	return parts[len(parts)-1]
}
