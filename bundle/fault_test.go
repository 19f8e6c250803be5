package bundle_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// flags maps the settings to the flags of a program.
func flags(setting string) string {
	return map[string]string{"job.Job.AllowNames": "--allow", "migrate.Options.Include": "--include"}[setting]
}

func none(string) string { return "" }

func TestFault_Text(t *testing.T) {
	for name, row := range map[string]struct {
		fault               bundle.Fault
		inGo, inFlags, bare string
	}{
		"problem alone":       {bundle.Fault{Problem: "no host"}, "no host", "no host", "no host"},
		"problem and fix":     {bundle.Fault{Problem: "no host", Fix: "write one"}, "no host; write one", "no host; write one", "no host; write one"},
		"the text of a cause": {bundle.Fault{Err: fs.ErrNotExist, Fix: "create it"}, "file does not exist; create it", "file does not exist; create it", "file does not exist; create it"},
		"not beside problem":  {bundle.Fault{Problem: "no file", Err: fs.ErrNotExist}, "no file", "no file", "no file"},
		"a cause with advice": {
			bundle.Fault{Err: fmt.Errorf("job: %w", &bundle.Fault{Problem: "X is in {job.Job.AllowNames}"})},
			"job: X is in AllowNames", "job: X is in --allow", "job: X is in AllowNames",
		},
		"an alternative": {
			bundle.Fault{Problem: "X is refused", Fix: "rename it", Or: "allow it in {job.Job.AllowNames}"},
			"X is refused; rename it, or allow it in AllowNames", "X is refused; rename it, or allow it in --allow", "X is refused; rename it",
		},
		"an alternative alone": {
			bundle.Fault{Problem: "X is refused", Or: "allow it in {job.Job.AllowNames}"},
			"X is refused; allow it in AllowNames", "X is refused; allow it in --allow", "X is refused",
		},
		"an alternative of two": {
			bundle.Fault{Problem: "X is refused", Fix: "rename it", Or: "set {job.Job.AllowNames} and {job.Job.Env}"},
			"X is refused; rename it, or set AllowNames and Env", "X is refused; rename it", "X is refused; rename it",
		},
		"an alternative without settings": {
			bundle.Fault{Problem: "late", Fix: "wait", Or: "call"}, "late; wait, or call", "late; wait, or call", "late; wait, or call",
		},
		"several settings": {
			bundle.Fault{Problem: "X is in {migrate.Options.Include} and {migrate.Options.Exclude}", Fix: "edit {migrate.Options.Include}"},
			"X is in Include and Exclude; edit Include", "X is in --include and Exclude; edit --include", "X is in Include and Exclude; edit Include",
		},
		"a part of a field": {bundle.Fault{Problem: "p", Fix: "edit {admin.Client.HTTPClient.RootCAs}"}, "p; edit HTTPClient.RootCAs", "p; edit HTTPClient.RootCAs", "p; edit HTTPClient.RootCAs"},
		"other braces":      {bundle.Fault{Problem: "{} {a} {A.B} ${X} {a.B}"}, "{} {a} {A.B} ${X} {a.B}", "{} {a} {A.B} ${X} {a.B}", "{} {a} {A.B} ${X} {a.B}"},
	} {
		t.Run(name, func(t *testing.T) {
			require.EqualError(t, &row.fault, row.inGo)
			require.Equal(t, row.inFlags, row.fault.Text(flags))
			require.Equal(t, row.bare, row.fault.Text(none))
		})
	}
}

func TestFault_Parts(t *testing.T) {
	f := &bundle.Fault{Problem: "X is in {migrate.Options.Include}", Fix: "rename it", Or: "allow it in {job.Job.AllowNames}"}
	problem, fix := f.Parts(flags)
	require.Equal(t, "X is in --include", problem)
	require.Equal(t, "rename it, or allow it in --allow", fix)
}

func TestFault_Unwrap(t *testing.T) {
	err := error(&bundle.FetchError{Err: &bundle.Fault{Problem: "no file", Setting: "providers.Dotenv.Path", Err: fs.ErrNotExist}})
	require.ErrorIs(t, err, fs.ErrNotExist)
	f, ok := errors.AsType[*bundle.Fault](err)
	require.True(t, ok)
	require.Equal(t, "providers.Dotenv.Path", f.Setting)
	require.EqualError(t, err, "no file")
	require.Empty(t, (&bundle.Fault{}).Error())
}

func TestExplain(t *testing.T) {
	allow := &bundle.Fault{Problem: "X is refused", Or: "allow it in {job.Job.AllowNames}"}
	include := &bundle.Fault{Problem: "name 2 of {migrate.Options.Include} is invalid"}
	for name, row := range map[string]struct {
		err  error
		want string
	}{
		"nil":                {nil, ""},
		"no fault":           {fmt.Errorf("see AllowNames: %w", fs.ErrNotExist), "see AllowNames: file does not exist"},
		"a fault":            {allow, "X is refused; allow it in --allow"},
		"in context":         {fmt.Errorf("AllowNames: %w (AllowNames)", &bundle.FetchError{Err: allow}), "AllowNames: X is refused; allow it in --allow (AllowNames)"},
		"several":            {fmt.Errorf("job: %w", errors.Join(allow, fs.ErrNotExist, include)), "job: X is refused; allow it in --allow\nfile does not exist\nname 2 of --include is invalid"},
		"the same twice":     {errors.Join(allow, allow), "X is refused; allow it in --allow\nX is refused; allow it in --allow"},
		"one like another":   {errors.Join(&bundle.Fault{Problem: "{job.Job.AllowNames} lacks X"}, &bundle.Fault{Problem: "AllowNames lacks XY"}), "--allow lacks X\nAllowNames lacks XY"},
		"an empty fault":     {fmt.Errorf("job%w", &bundle.Fault{}), "job"},
		"not in the text":    {hidden{allow}, "hidden"},
		"a fault in a fault": {&bundle.Fault{Err: fmt.Errorf("job: %w", allow), Fix: "retry"}, "job: X is refused; allow it in --allow; retry"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, bundle.Explain(row.err, flags)) })
	}
}

func TestCheckItem_Parts(t *testing.T) {
	allow := &bundle.Fault{Problem: "X is refused", Fix: "rename it", Or: "allow it in {job.Job.AllowNames}"}
	for name, row := range map[string]struct {
		item        bundle.CheckItem
		detail, fix string
	}{
		"no error":       {bundle.CheckItem{Detail: "AllowNames", Fix: "do"}, "AllowNames", "do"},
		"its parts":      {bundle.CheckItem{Detail: "job: X is refused", Fix: "rename it, or allow it in AllowNames", Err: fmt.Errorf("job: %w", allow)}, "job: X is refused", "rename it, or allow it in --allow"},
		"another fix":    {bundle.CheckItem{Detail: allow.Error(), Fix: "retry", Err: allow}, "X is refused; rename it, or allow it in --allow", "retry"},
		"a field in it":  {bundle.CheckItem{Detail: "name of Include", Err: &bundle.Fault{Problem: "name of {migrate.Options.Include}"}}, "name of --include", ""},
		"an empty fault": {bundle.CheckItem{Detail: "d", Fix: "f", Err: &bundle.Fault{}}, "d", "f"},
	} {
		t.Run(name, func(t *testing.T) {
			detail, fix := row.item.Parts(flags)
			require.Equal(t, row.detail, detail)
			require.Equal(t, row.fix, fix)
		})
	}
}

// hidden is an error whose text does not contain that of its cause.
type hidden struct{ err error }

func (hidden) Error() string   { return "hidden" }
func (h hidden) Unwrap() error { return h.err }

func ExampleExplain() {
	err := fmt.Errorf("starting job: %w", &bundle.Fault{
		Problem: "secret HTTPS_PROXY can change what programs do", Setting: "job.Job.AllowNames",
		Fix: "rename it", Or: "allow it in {job.Job.AllowNames}",
	})
	fmt.Println(err)

	flags := map[string]string{"job.Job.AllowNames": "--allow"}
	fmt.Println(bundle.Explain(err, func(setting string) string { return flags[setting] }))
	// Output:
	// starting job: secret HTTPS_PROXY can change what programs do; rename it, or allow it in AllowNames
	// starting job: secret HTTPS_PROXY can change what programs do; rename it, or allow it in --allow
}
