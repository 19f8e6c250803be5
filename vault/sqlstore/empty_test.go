package sqlstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/store"
)

// A vault that finds new tables, in another file or in another schema of the search path,
// does not know which tokens exist.
func TestStore_Empty(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) store.Store{
		"SQLite":     func(t *testing.T) store.Store { return openStore(t, newFile(t)) },
		"PostgreSQL": func(t *testing.T) store.Store { return openPostgres(t, postgrestest.Schema(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			kek := keyringtest.NewFake("kek")
			before := openVault(t, open(t), kek, nil)
			put(t, before, "acme", "A", "a value")
			token, _, err := before.IssueToken(t.Context(), "acme", nil)
			require.NoError(t, err)
			require.True(t, before.Health(t.Context()).Ready)

			v := openVault(t, open(t), kek, nil)
			_, err = v.Bootstrap(t.Context(), token, nil)
			require.ErrorIs(t, err, vault.ErrEmpty)
			require.False(t, v.Health(t.Context()).Ready)
			put(t, v, "globex", "A", "a value")
			_, err = v.Bootstrap(t.Context(), token, nil)
			require.ErrorContains(t, err, "unknown")
			require.True(t, v.Health(t.Context()).Ready)
		})
	}
}
