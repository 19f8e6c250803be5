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

// rest is the maximum length of a value on a path that has fifteen values of the maximum
// length.
const rest = vault.MaxBundle - 15*(vault.MaxValue+keyring.Overhead) - keyring.Overhead

// fill stores fifteen values of the maximum length in scope.
func (f *fixture) fill(t *testing.T, scope string) {
	t.Helper()
	for i := range 15 {
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
	t.Run("allows exactly one MiB", func(t *testing.T) {
		f := newFixture(t)
		f.fill(t, "acme")
		require.ErrorIs(t, f.putSize(t, "acme", "A", rest+1), vault.ErrInvalid)
		require.NoError(t, f.putSize(t, "acme", "A", rest), "the limit is exact")
		require.ErrorIs(t, f.putSize(t, "acme", "B", 0), vault.ErrInvalid, "an empty value counts, too")
		require.NoError(t, f.putSize(t, "acme", "FULL_0", vault.MaxValue), "a replaced value does not count")

		total := 0
		for s := range f.Bundle(t, f.MustIssue(t, "acme")).All() {
			total += len(s.Value.Reveal()) + keyring.Overhead
		}
		require.Equal(t, vault.MaxBundle, total)
	})

	t.Run("holds for every scope below", func(t *testing.T) {
		f := newFixture(t)
		f.fill(t, "acme/web/pool-a")
		require.ErrorIs(t, f.putSize(t, "acme", "A", rest+1), vault.ErrInvalid, "the bundle two scopes below would be too large")
		require.ErrorIs(t, f.putSize(t, "acme/web", "A", rest+1), vault.ErrInvalid)
		require.ErrorIs(t, f.putSize(t, "acme/web/pool-a/job", "A", rest+1), vault.ErrInvalid, "values of parent scopes count")
		require.NoError(t, f.putSize(t, "acme/web/pool-b", "A", rest+1), "values of sibling scopes do not count")
		require.NoError(t, f.putSize(t, "acme-2", "A", rest+1))
		require.NoError(t, f.putSize(t, "acme/we", "A", rest+1), "a scope with a common prefix does not count")

		err := f.putSize(t, "acme", "A", rest+1)
		require.ErrorContains(t, err, "acme/web/pool-a", "the error names the scope whose bundle would be too large")
		require.NoError(t, f.putSize(t, "acme", "A", rest))
		require.ErrorIs(t, f.putSize(t, "acme/web", "B", 0), vault.ErrInvalid)
	})

	t.Run("counts inherited values under a tombstone", func(t *testing.T) {
		f := newFixture(t)
		f.fill(t, "acme")
		for i := range 15 {
			_, err := f.Hide(t.Context(), "acme/web", fmt.Sprintf("FULL_%d", i))
			require.NoError(t, err)
		}
		require.ErrorIs(t, f.putSize(t, "acme/web", "A", rest+1), vault.ErrInvalid, "deleting a tombstone must not make the bundle too large")
		require.NoError(t, f.putSize(t, "acme/web", "A", rest))
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
