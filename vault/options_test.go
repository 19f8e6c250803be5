package vault_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
)

// requireOption fails the test unless err names an option, both as data and at the
// beginning of its text.
func requireOption(t *testing.T, err error, setting, text string) {
	t.Helper()
	fault, ok := errors.AsType[*bundle.Fault](err)
	require.True(t, ok, "the error has its advice as data: %v", err)
	require.Equal(t, setting, fault.Setting, "the error names the option")
	require.True(t, strings.HasPrefix(err.Error(), text), err.Error())
}

func TestOptions_Check(t *testing.T) {
	t.Run("accepts valid options and names the first problem of the others", func(t *testing.T) {
		require.NoError(t, (*vault.Options)(nil).Check())
		require.NoError(t, (&vault.Options{}).Check())
		mints := vault.Integration{Name: "github", Scope: "acme", Provider: mintFunc(nil)}
		require.NoError(t, (&vault.Options{
			RefreshAfter: time.Second, AuditKeep: time.Nanosecond, Audit: []audit.Sink{audit.NewSlogSink(nil)},
			Required: []vault.Required{{Scope: "acme", Name: "A", Kind: "github", Help: "ask ops"}}, Notices: []string{"Fine."},
			Integrations: []vault.Integration{mints},
		}).Check(), "Check does not call the provider")

		without := func(change func(*vault.Integration)) []vault.Integration {
			in := mints
			change(&in)
			return []vault.Integration{in}
		}
		const scope = "invalid input: segment 1 of the scope is empty"
		for _, row := range []struct {
			text    string // the beginning of the error, in the words of a program
			options vault.Options
		}{
			{"-refresh is 1ms; want 1s or more", vault.Options{RefreshAfter: time.Millisecond}},
			{"-refresh is -1s; want 1s or more", vault.Options{RefreshAfter: -time.Second}},
			{"-keep is -1ns; want a positive duration", vault.Options{AuditKeep: -1}},
			{"-audit[0] is nil; leave it out", vault.Options{Audit: []audit.Sink{nil}}},
			{"-notice[0] is blank; leave it out", vault.Options{Notices: []string{" "}}},
			{"-notice[1] has 1025 bytes; at most 1024 are allowed", vault.Options{Notices: []string{"Fine.", strings.Repeat("n", 1025)}}},
			{"-notice[0] has control characters or is not valid UTF-8", vault.Options{Notices: []string{"\x1b[31mred"}}},
			{"-require[0]: " + scope, vault.Options{Required: []vault.Required{{Name: "A"}}}},
			{`-require[0]: invalid input: the name "not a name" has ' ' at byte 3`, vault.Options{Required: []vault.Required{{Scope: "acme", Name: "not a name"}}}},
			{"-require[0]: invalid input: the kind has 65 bytes", vault.Options{Required: []vault.Required{{Scope: "acme", Name: "A", Kind: strings.Repeat("k", 65)}}}},
			{"-require[0]: invalid input: the help has control characters", vault.Options{Required: []vault.Required{{Scope: "acme", Name: "A", Help: "\x00"}}}},
			{"-integration[0]: invalid input: the name does not match ", vault.Options{Integrations: without(func(in *vault.Integration) { in.Name = "Git Hub" })}},
			{"-integration[1]: invalid input: another integration has the name github; give each integration a unique name", vault.Options{Integrations: []vault.Integration{mints, mints}}},
			{"-integration[0]: " + scope, vault.Options{Integrations: without(func(in *vault.Integration) { in.Scope = "" })}},
			{"-integration[0]: invalid input: the Provider is nil; set it", vault.Options{Integrations: without(func(in *vault.Integration) { in.Provider = nil })}},
			{"-integration[0]: invalid input: the Budget is -1; use a positive number, or zero for the default", vault.Options{Integrations: without(func(in *vault.Integration) { in.Budget = -1 })}},
			{"-integration[0]: invalid input: the Timeout is -1ns; use a positive duration, or zero for the default", vault.Options{Integrations: without(func(in *vault.Integration) { in.Timeout = -1 })}},
		} {
			err := row.options.Check()
			require.ErrorIs(t, err, vault.ErrInvalid)
			text := bundle.Explain(err, func(setting string) string {
				return map[string]string{
					"vault.Options.RefreshAfter": "-refresh", "vault.Options.AuditKeep": "-keep", "vault.Options.Audit": "-audit",
					"vault.Options.Notices": "-notice", "vault.Options.Required": "-require", "vault.Options.Integrations": "-integration",
				}[setting]
			})
			require.True(t, strings.HasPrefix(text, row.text), "%s\nwant %s", text, row.text)
		}
	})

	t.Run("reports every problem", func(t *testing.T) {
		o := vault.Options{RefreshAfter: -1, AuditKeep: -1, Notices: []string{"", "\n"}, Required: []vault.Required{{}}, Audit: []audit.Sink{nil}, Integrations: []vault.Integration{{}}}
		joined, ok := o.Check().(interface{ Unwrap() []error })
		require.True(t, ok)
		require.Len(t, joined.Unwrap(), 7)
		for _, err := range joined.Unwrap() {
			require.IsType(t, &bundle.Fault{}, err)
			require.ErrorIs(t, err, vault.ErrInvalid)
		}
	})
}
