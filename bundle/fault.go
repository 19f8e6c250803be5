package bundle

import (
	"cmp"
	"errors"
	"iter"
	"regexp"
	"strings"
)

// Fault is an error with its advice as data: the problem, the setting behind
// it, and the fix. A program can print it in terms of its own flags or form
// fields instead of Go fields:
//
//	flags := map[string]string{"job.Job.AllowNames": "--allow"}
//	fmt.Println(bundle.Explain(err, func(setting string) string { return flags[setting] }))
//
// Problem, Fix and Or refer to a setting as {job.Job.AllowNames}: the package,
// the type and the field, in braces. Error shows only the field.
//
// A Fault holds no secret value. It can be the Err of a [FetchError].
type Fault struct {
	// Problem says what is wrong. Default: the text of Err.
	Problem string
	// Setting is the field that caused the problem or that can solve it, such
	// as "providers.Platform.URL". Empty if there is none.
	Setting string
	// Fix says what to do. Empty if there is no advice, or only Or.
	Fix string
	// Or is an alternative to Fix that exists only in programs that have the
	// settings it refers to.
	Or string
	// Retryable reports whether the problem may go away without a fix.
	Retryable bool
	// Err is the cause, or nil. Its text is shown only if Problem is empty.
	Err error
}

// Error returns "problem; fix, or alternative", with settings as Go fields.
func (f *Fault) Error() string { return f.Text(nil) }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Text is Error in the words of a program. name returns the program's name of a
// setting, such as "--allow" for "job.Job.AllowNames", or "" if the program
// does not have it: then Or is left out if it refers to the setting, and
// elsewhere the Go field is shown. A nil name shows Go fields.
func (f *Fault) Text(name func(setting string) string) string {
	problem, fix := f.Parts(name)
	if fix == "" {
		return problem
	}
	return problem + "; " + fix
}

// Parts returns the two halves of Text. fix is empty if there is no advice.
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

// Explain returns the text of err with each [Fault] in it in the words of a
// program; see [Fault.Text] for name. It returns "" for nil.
func Explain(err error, name func(setting string) string) string {
	if err == nil {
		return ""
	}
	// Whatever wraps a fault has its text as it was and nothing else of it, so each
	// is looked for, once, after the one before it.
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

// replace is strings.ReplaceAll that finds nothing of an empty text.
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

// withNames replaces the references in text. complete is false if name lacks
// one of them.
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

// fieldName returns the field of a setting: "PassEnv" of "job.Job.PassEnv".
func fieldName(setting string) string {
	parts := strings.SplitN(setting, ".", 3)
	return parts[len(parts)-1]
}
