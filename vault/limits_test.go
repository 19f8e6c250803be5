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

// rest is how long a value may be where fifteen of the longest are on the path
// already.
const rest = vault.MaxBundle - 15*(vault.MaxValue+keyring.Overhead) - keyring.Overhead

// fill puts fifteen of the longest values into scope.
func (f *fixture) fill(t *testing.T, scope string) {
	t.Helper()
	for i := range 15 {
		f.put(t, scope, fmt.Sprintf("FULL_%d", i), strings.Repeat("x", vault.MaxValue))
	}
}

func (f *fixture) putSize(t *testing.T, scope, name string, size int) error {
	t.Helper()
	_, err := f.Put(t.Context(), scope, name, bundle.NewValue(strings.Repeat("y", size)), nil)
	return err
}

func TestMaxValue(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, f.putSize(t, "acme", "A", 64<<10))
	require.Len(t, f.values(t, f.issue(t, "acme"))["A"], 64<<10)
	err := f.putSize(t, "acme", "A", 64<<10+1)
	require.ErrorIs(t, err, vault.ErrInvalid)
	require.ErrorContains(t, err, "65537 bytes", "the error says how far it is off")
}

func TestMaxBundle(t *testing.T) {
	t.Run("allows exactly one MiB", func(t *testing.T) {
		f := newFixture(t)
		f.fill(t, "acme")
		require.ErrorIs(t, f.putSize(t, "acme", "A", rest+1), vault.ErrInvalid)
		require.NoError(t, f.putSize(t, "acme", "A", rest), "the limit is exact")
		require.ErrorIs(t, f.putSize(t, "acme", "B", 0), vault.ErrInvalid, "an empty value takes room too")
		require.NoError(t, f.putSize(t, "acme", "FULL_0", vault.MaxValue), "a value makes room for the one that replaces it")

		total := 0
		for s := range f.bundle(t, f.issue(t, "acme")).All() {
			total += len(s.Value.Reveal()) + keyring.Overhead
		}
		require.Equal(t, vault.MaxBundle, total)
	})

	t.Run("holds for every scope below", func(t *testing.T) {
		f := newFixture(t)
		f.fill(t, "acme/web/pool-a")
		require.ErrorIs(t, f.putSize(t, "acme", "A", rest+1), vault.ErrInvalid, "two scopes down, the bundle would be too long")
		require.ErrorIs(t, f.putSize(t, "acme/web", "A", rest+1), vault.ErrInvalid)
		require.ErrorIs(t, f.putSize(t, "acme/web/pool-a/job", "A", rest+1), vault.ErrInvalid, "above counts as well")
		require.NoError(t, f.putSize(t, "acme/web/pool-b", "A", rest+1), "what is beside it does not")
		require.NoError(t, f.putSize(t, "acme-2", "A", rest+1))
		require.NoError(t, f.putSize(t, "acme/we", "A", rest+1), "nor does a scope whose name begins the same")

		err := f.putSize(t, "acme", "A", rest+1)
		require.ErrorContains(t, err, "acme/web/pool-a", "the error names the scope that would overflow")
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
		require.ErrorIs(t, f.putSize(t, "acme/web", "A", rest+1), vault.ErrInvalid, "a tombstone that is deleted must not overflow the bundle")
		require.NoError(t, f.putSize(t, "acme/web", "A", rest))
	})

	t.Run("does not count hidden and inactive versions", func(t *testing.T) {
		f := newFixture(t)
		f.fill(t, "acme")
		require.NoError(t, f.putSize(t, "acme", "A", rest))
		_, err := f.Hide(t.Context(), "acme", "FULL_0")
		require.NoError(t, err)
		require.NoError(t, f.putSize(t, "acme", "B", 1), "what is hidden makes room")
		_, err = f.Activate(t.Context(), "acme", "FULL_0", 1)
		require.ErrorIs(t, err, vault.ErrInvalid, "which it may not find again when it comes back")
		require.NoError(t, f.Delete(t.Context(), "acme", "B"))
		_, err = f.Activate(t.Context(), "acme", "FULL_0", 1)
		require.NoError(t, err)
	})
}
