package vault_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/store"
)

// sealed returns the epoch and the count in the seal of each scope on a path.
func (f *fixture) sealed(t *testing.T, scope string) (epochs []uint64, counts []uint32) {
	t.Helper()
	snap, err := f.Storage.Read(t.Context(), store.Query{Scope: scope})
	require.NoError(t, err)
	for _, s := range snap.Path {
		if s.Seal == nil {
			epochs, counts = append(epochs, 0), append(counts, 0)
			continue
		}
		epochs = append(epochs, binary.BigEndian.Uint64(s.Seal[22:]))
		counts = append(counts, binary.BigEndian.Uint32(s.Seal[30:]))
	}
	return epochs, counts
}

func TestSeal(t *testing.T) {
	t.Run("marks the path of the first token as empty", func(t *testing.T) {
		f := newFixture(t)
		f.MustIssue(t, "acme/web")
		epochs, counts := f.sealed(t, "acme/web/pool-a")
		require.Equal(t, []uint64{1, 1, 0}, epochs, "the scope and its ancestors, but not the scope below")
		require.Equal(t, []uint32{0, 0, 0}, counts)
		f.MustIssue(t, "acme/web")
		epochs, _ = f.sealed(t, "acme/web")
		require.Equal(t, []uint64{1, 1}, epochs, "a seal covers revocations, not new tokens")
	})

	t.Run("increases its epoch by one with every write", func(t *testing.T) {
		f := newFixture(t)
		ctx := t.Context()
		f.MustPut(t, "acme/web", "A", "one")
		epochs, counts := f.sealed(t, "acme/web")
		require.Equal(t, []uint64{1, 2}, epochs, "the first write follows the seal of the empty scope")
		require.Equal(t, []uint32{0, 1}, counts)
		token := f.MustIssue(t, "acme/web")
		for i, write := range []func() error{
			func() error { f.MustPut(t, "acme/web", "A", "two"); return nil },
			func() error { f.MustPut(t, "acme/web", "B", "one"); return nil },
			func() error { _, err := f.Activate(ctx, "acme/web", "A", 1); return err },
			func() error { _, err := f.Hide(ctx, "acme/web", "A"); return err },
			func() error { return f.RevokeToken(ctx, tokenID(t, token)) },
			func() error { return f.Delete(ctx, "acme/web", "B") },
		} {
			require.NoError(t, write())
			epochs, counts = f.sealed(t, "acme/web")
			require.Equal(t, []uint64{1, uint64(3 + i)}, epochs)
			require.Equal(t, []uint32{1, 2, 2, 2, 3, 2}[i], counts[1], "secrets, tombstones and revoked tokens")
		}
	})

	t.Run("limits the number of writes under one key", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "one")
		token := f.MustIssue(t, "acme")
		key := f.dataKey(t, "acme")
		f.Storage.OnRead(func(q store.Query, snap *store.Snapshot) {
			binary.BigEndian.PutUint64(snap.Path[0].Seal[22:], 1<<30)
			if !q.SealsOnly {
				reseal(key, &snap.Path[0])
			}
		})
		err := f.Delete(t.Context(), "acme", "A")
		require.ErrorContains(t, err, "rotate the tenant's data key", "the error names the fix")
		require.Equal(t, map[string]string{"A": "one"}, f.Values(t, token), "stored secrets are still served")
	})
}
