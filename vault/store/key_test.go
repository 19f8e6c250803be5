package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault/store"
)

func TestKeyID(t *testing.T) {
	keys, err := keyring.New(keyringtest.NewFake("kek"), nil)
	require.NoError(t, err)
	key, record, err := keys.NewKey(t.Context(), nil)
	require.NoError(t, err)
	defer key.Destroy()

	t.Run("returns the id of the data key", func(t *testing.T) {
		id, err := store.KeyID(record)
		require.NoError(t, err)
		require.Equal(t, key.ID(), id)
	})
	t.Run("ignores the rest of the record", func(t *testing.T) {
		id, err := store.KeyID(append(record[:22:22], "anything"...))
		require.NoError(t, err)
		require.Equal(t, key.ID(), id)
	})
	t.Run("rejects a record that is too short", func(t *testing.T) {
		for n := range 22 {
			_, err := store.KeyID(record[:n])
			require.EqualError(t, err, "key record is too short to contain a key id")
		}
	})
}
