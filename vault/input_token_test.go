package vault_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
)

// tokensInText returns texts that hold a token, or the secret part of one.
func tokensInText() map[string]string {
	token, _ := wire.NewToken()
	admin := wire.AdminTokenPrefix + token[len(wire.TokenPrefix):]
	return map[string]string{
		"a runner's token":           token,
		"an administrator's token":   admin,
		"a token in a sentence":      "of ada: " + token + ".",
		"a token without its end":    token[:60],
		"a token between characters": "x" + admin + "0",
	}
}

// No field that is stored and shown in clear accepts a token.
func TestCheckNoToken(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.MustPut(t, "acme", "KEPT", "x")
	own := f.MustIssue(t, "acme")
	put := func(ctx context.Context, name string, opts *vault.PutOptions) error {
		_, err := f.Put(ctx, "acme", name, bundle.NewValue("x"), opts)
		return err
	}
	issue := func(opts vault.TokenOptions) error {
		_, _, err := f.IssueToken(ctx, "acme", &opts)
		return err
	}
	ask := func(req vault.BootstrapRequest) error {
		_, err := f.Bootstrap(ctx, own, &req)
		return err
	}
	options := func(opts vault.Options) error { return opts.Check() }
	for field, call := range map[string]func(text string) error{
		"kind":          func(s string) error { return put(ctx, "A", &vault.PutOptions{Kind: s}) },
		"comment":       func(s string) error { return put(ctx, "A", &vault.PutOptions{Comment: s}) },
		"actor":         func(s string) error { return put(vault.WithActor(ctx, s), "A", nil) },
		"actor of Hide": func(s string) error { _, err := f.Hide(vault.WithActor(ctx, s), "acme", "KEPT"); return err },
		"label":         func(s string) error { return issue(vault.TokenOptions{Label: s}) },
		"runner":        func(s string) error { return ask(vault.BootstrapRequest{Runner: s}) },
		"waiting runner": func(s string) error {
			return ask(vault.BootstrapRequest{Runner: s, IfNoneMatch: "x", Wait: wire.MaxWait})
		},
		"address": func(s string) error { return ask(vault.BootstrapRequest{RemoteAddr: s}) },
		"notice":  func(s string) error { return options(vault.Options{Notices: []string{s}}) },
		"required kind": func(s string) error {
			return options(vault.Options{Required: []vault.Required{{Scope: "acme", Name: "A", Kind: s}}})
		},
		"required help": func(s string) error {
			return options(vault.Options{Required: []vault.Required{{Scope: "acme", Name: "A", Help: s}}})
		},
	} {
		for about, text := range tokensInText() {
			before := f.Storage.Applies.Load()
			err := call(text)
			require.ErrorIs(t, err, vault.ErrInvalid, "%s with %s", field, about)
			require.False(t, wire.HoldsToken(err.Error()), "%s with %s: %v", field, about, err)
			require.Equal(t, before, f.Storage.Applies.Load(), "%s with %s: nothing is stored", field, about)
		}
	}

	token, _ := wire.NewToken()
	for field, call := range map[string]func(text string) error{
		"name":        func(s string) error { return put(ctx, s, nil) },
		"hidden name": func(s string) error { _, err := f.Hide(ctx, "acme", s); return err },
		"waived":      func(s string) error { return issue(vault.TokenOptions{Waive: []string{"A", s}}) },
		"required name": func(s string) error {
			return options(vault.Options{Required: []vault.Required{{Scope: "acme", Name: s}}})
		},
	} {
		for _, name := range []string{token, "OLD_" + token, token + "_2", "of ada: " + token, wire.AdminTokenPrefix + token[4:], token[:60]} {
			err := call(name)
			require.ErrorIs(t, err, vault.ErrInvalid, field)
			require.ErrorContains(t, err, "holds a token", field)
			require.False(t, wire.HoldsToken(err.Error()), "%s: %v", field, err)
		}
	}

	for field, call := range map[string]func(id string) error{
		"Token":       func(s string) error { _, err := f.Token(ctx, s); return err },
		"RevokeToken": func(s string) error { return f.RevokeToken(ctx, s) },
		"RotateToken": func(s string) error { _, _, err := f.RotateToken(ctx, s, nil); return err },
	} {
		err := call(own.Reveal())
		require.ErrorIs(t, err, vault.ErrNotFound, "a token is not an id: %s", field)
		require.False(t, wire.HoldsToken(err.Error()), "%s: %v", field, err)
	}
}

func TestIntegration_TokenInError(t *testing.T) {
	token, _ := wire.NewToken()
	for about, m := range map[string]mintFunc{
		"in its error": func() (*bundle.Bundle, error) { return nil, errors.New("refused " + token) },
		"in the name of a secret": func() (*bundle.Bundle, error) {
			return bundle.New([]bundle.Secret{{Name: token, Value: bundle.NewValue("x")}}, nil)
		},
		"in the kind of a secret": func() (*bundle.Bundle, error) {
			return bundle.New([]bundle.Secret{{Name: "A", Value: bundle.NewValue("x"), Kind: token}}, nil)
		},
	} {
		t.Run(about, func(t *testing.T) {
			f, reason := failedMint(t, m)
			require.False(t, wire.HoldsToken(reason), reason)
			require.False(t, wire.HoldsToken(f.Log.Text()), "the log")
		})
	}
}
