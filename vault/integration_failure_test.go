package vault_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
)

// mintFunc is a provider.
type mintFunc func() (*bundle.Bundle, error)

func (m mintFunc) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) { return m() }

// failedMint runs one minting of m, which must fail, and returns the fixture and the
// error. It checks that the runner gets the secret of the vault and a problem.
func failedMint(t *testing.T, m bundle.Provider) (*fixture, string) {
	t.Helper()
	f := newFixture(t).with(t, vault.Options{Integrations: []vault.Integration{{Name: "github", Scope: "acme", Provider: m}}})
	f.MustPut(t, "acme", "A", "a")
	b := f.Bundle(t, f.MustIssue(t, "acme"))
	require.Equal(t, map[string]string{"A": "a"}, reveal(b), "only the secret of the vault is delivered")
	require.Len(t, b.Problems(), 1)
	require.True(t, b.Problems()[0].Retryable)
	states, err := f.Integrations(t.Context(), "acme")
	require.NoError(t, err)
	require.NotEmpty(t, states[0].Problem, "the administrator sees the error")
	require.Equal(t, "minting failed: "+states[0].Problem, b.Problems()[0].Reason)
	require.Zero(t, states[0].Minted, "nothing is stored")
	require.Contains(t, f.Log.Text(), `level=WARN msg="integration failed to mint"`)
	return f, states[0].Problem
}

// oddError is an error whose Error method panics.
type oddError struct{}

func (oddError) Error() string { panic(canaryMinted) }

func TestIntegration_Failure(t *testing.T) {
	t.Run("contains a panic of the provider", func(t *testing.T) {
		for about, m := range map[string]mintFunc{
			"with a value":        func() (*bundle.Bundle, error) { panic(canaryMinted) },
			"with an error":       func() (*bundle.Bundle, error) { panic(errors.New(canaryMinted)) },
			"with nil":            func() (*bundle.Bundle, error) { panic(nil) },
			"in its error":        func() (*bundle.Bundle, error) { return nil, oddError{} },
			"in a nil FetchError": func() (*bundle.Bundle, error) { return nil, (*bundle.FetchError)(nil) },
			"because it is nil":   nil,
		} {
			t.Run(about, func(t *testing.T) {
				f, reason := failedMint(t, m)
				require.Equal(t, "the provider panicked", reason)
				require.Equal(t, 1, f.Log.Errors())
				require.Contains(t, f.Log.Text(), `msg="integration panicked" integration=github scope=acme stack="goroutine`)
				require.Contains(t, f.Log.Text(), "vault.(*minter).ask", "the stack names the function")
				require.NotContains(t, f.Log.Text(), canaryMinted, "the value of the panic may be a secret")
			})
		}
		_, reason := failedMint(t, mintFunc(func() (*bundle.Bundle, error) { runtime.Goexit(); return nil, nil }))
		require.Equal(t, "the provider did not return", reason)
	})

	t.Run("is reported for secrets that runners cannot use", func(t *testing.T) {
		yields := func(secrets ...bundle.Secret) mintFunc {
			return func() (*bundle.Bundle, error) { return bundle.New(secrets, nil) }
		}
		secret := func(name string, size int) bundle.Secret {
			return bundle.Secret{Name: name, Value: bundle.NewValue(canaryMinted + strings.Repeat("x", size))}
		}
		ended := secret("GIT_TOKEN", 0)
		ended.Expires = time.Now()
		var many []bundle.Secret
		for i := range 20 {
			many = append(many, secret(fmt.Sprint("S", i), vault.MaxValue-len(canaryMinted)))
		}
		for about, row := range map[string]struct {
			m      mintFunc
			reason string
		}{
			"no bundle":          {func() (*bundle.Bundle, error) { return nil, nil }, "the provider returned no secrets"},
			"no secret":          {yields(), "the provider returned no secrets"},
			"an expired secret":  {yields(ended), "the provider returned expired secrets"},
			"one expired of two": {yields(secret("A_TOKEN", 0), ended), "the provider returned expired secrets"},
			"only a problem": {func() (*bundle.Bundle, error) {
				return bundle.New(nil, &bundle.Meta{Problems: []bundle.Problem{{Reason: "the forge is down"}}})
			}, "the provider returned no secrets: the forge is down"},
			"a reserved name": {yields(secret("GIT_TOKEN", 0), secret("SATCHEL_TOKEN", 0)),
				"the provider returned secret SATCHEL_TOKEN: invalid input: names that begin with SATCHEL_ are reserved for the runner's settings; choose another name"},
			"a long value": {yields(secret("GIT_TOKEN", vault.MaxBundle)),
				"the provider returned secret GIT_TOKEN: invalid input: the value has 2097182 bytes; at most 65536 are allowed"},
			"many values": {yields(many...), "bytes as JSON; at most 1048576 are allowed"},
		} {
			t.Run(about, func(t *testing.T) {
				f, reason := failedMint(t, row.m)
				require.Contains(t, reason, row.reason)
				require.NotContains(t, f.Log.Text()+reason, canaryMinted)
			})
		}
	})

	t.Run("is reported for every secret that Put refuses", func(t *testing.T) {
		f := newFixture(t)
		for _, s := range []bundle.Secret{
			{Name: "SATCHEL_", Value: bundle.NewValue("x")},
			{Name: "A", Value: bundle.NewValue(strings.Repeat("x", vault.MaxValue+1))},
		} {
			_, err := f.Put(t.Context(), "acme", s.Name, s.Value, nil)
			require.ErrorIs(t, err, vault.ErrInvalid)
			_, reason := failedMint(t, mintFunc(func() (*bundle.Bundle, error) { return bundle.New([]bundle.Secret{s}, nil) }))
			_, why, _ := strings.Cut(err.Error(), vault.ErrInvalid.Error())
			require.Contains(t, reason, why, "the error is the same")
		}
	})

	t.Run("keeps the earlier secrets and is not retried immediately", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &mint{life: time.Hour}
			f := newFixture(t).with(t, m.minting(vault.Integration{}))
			token := f.MustIssue(t, "acme")
			f.Values(t, token)
			m.life = -time.Second
			time.Sleep(40 * time.Minute)
			for range 10 {
				require.Equal(t, canaryMinted+"1", f.Values(t, token)["GIT_TOKEN"], "the earlier secret is still valid")
			}
			require.Equal(t, int64(2), m.count.Load(), "the next minting is after a minute")
			time.Sleep(time.Minute)
			m.life = time.Hour
			require.Equal(t, canaryMinted+"3", f.Values(t, token)["GIT_TOKEN"])
		})
	})
}
