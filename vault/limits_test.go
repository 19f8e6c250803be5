package vault_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
)

// rest is the maximum length of a value in a scope that has three values of the maximum
// length.
const rest = vault.MaxScope - 3*(vault.MaxValue+keyring.Overhead) - keyring.Overhead

// fill stores three values of the maximum length in scope.
func (f *fixture) fill(t *testing.T, scope string) {
	t.Helper()
	for i := range 3 {
		f.MustPut(t, scope, fmt.Sprintf("FULL_%d", i), strings.Repeat("x", vault.MaxValue))
	}
}

// putSize stores a value of size bytes and returns the error.
func (f *fixture) putSize(t *testing.T, scope, name string, size int) error {
	t.Helper()
	_, err := f.Put(t.Context(), scope, name, bundle.NewValue(strings.Repeat("y", size)), nil)
	return err
}

func TestMaxValue(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, f.putSize(t, "acme", "A", 64<<10))
	require.Len(t, f.Values(t, f.MustIssue(t, "acme"))["A"], 64<<10)
	err := f.putSize(t, "acme", "A", 64<<10+1)
	require.ErrorIs(t, err, vault.ErrInvalid)
	require.ErrorContains(t, err, "65537 bytes", "the error has the length")
}

func TestMaxBundle(t *testing.T) {
	f := newFixture(t)
	scope, total := "", 0
	for i := range 8 {
		scope = strings.TrimPrefix(fmt.Sprintf("%s/s%d", scope, i), "/")
		for j := range 3 {
			f.MustPut(t, scope, fmt.Sprintf("FULL_%d_%d", i, j), strings.Repeat("\x01", vault.MaxValue))
		}
		require.NoError(t, f.putSize(t, scope, fmt.Sprintf("REST_%d", i), rest))
	}
	for s := range f.Bundle(t, f.MustIssue(t, scope)).All() {
		total += len(s.Value.Reveal()) + keyring.Overhead
	}
	require.Equal(t, vault.MaxBundle, total, "a path of eight full scopes")
}

func TestMaxScope(t *testing.T) {
	t.Run("is exact", func(t *testing.T) {
		f := newFixture(t)
		f.fill(t, "acme")
		require.ErrorIs(t, f.putSize(t, "acme", "A", rest+1), vault.ErrInvalid)
		require.NoError(t, f.putSize(t, "acme", "A", rest))
		require.ErrorIs(t, f.putSize(t, "acme", "B", 0), vault.ErrInvalid, "an empty value counts, too")
		require.NoError(t, f.putSize(t, "acme", "FULL_0", vault.MaxValue), "a replaced value does not count")
	})

	t.Run("is a quota of each scope", func(t *testing.T) {
		f := newFixture(t)
		for _, scope := range []string{"acme", "acme/web", "acme/web/pool-a"} {
			f.fill(t, scope)
			require.NoError(t, f.putSize(t, scope, "A", rest), "full scopes above and below take no space from %s", scope)
		}
		for _, scope := range []string{"acme/web/pool-a", "acme/web", "acme"} {
			require.NoError(t, f.putSize(t, scope, "A", rest), "a full scope can rotate")
			err := f.putSize(t, scope, "B", 0)
			require.ErrorIs(t, err, vault.ErrInvalid)
			require.ErrorContains(t, err, scope, "the error names the scope that is full")
		}
	})

	t.Run("does not count hidden and inactive versions", func(t *testing.T) {
		f := newFixture(t)
		f.fill(t, "acme")
		require.NoError(t, f.putSize(t, "acme", "A", rest))
		_, err := f.Hide(t.Context(), "acme", "FULL_0")
		require.NoError(t, err)
		require.NoError(t, f.putSize(t, "acme", "B", 1), "a hidden value does not count")
		_, err = f.Activate(t.Context(), "acme", "FULL_0", 1)
		require.ErrorIs(t, err, vault.ErrInvalid, "the hidden value needs space to become active again")
		require.NoError(t, f.Delete(t.Context(), "acme", "B"))
		_, err = f.Activate(t.Context(), "acme", "FULL_0", 1)
		require.NoError(t, err)
	})
}
