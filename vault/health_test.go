package vault_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
)

func TestVault_Health(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clue = "clue-from-the-service"
		kek := keyringtest.NewFake("kek")
		kek.Break(keyring.ErrUnavailable)
		f := newFixtureOver(t, memstore.New(), kek)
		require.Equal(t, vault.Health{Detail: "The key service has not responded since this process started."}, f.Health(t.Context()))
		kek.Break(nil)
		time.Sleep(2 * time.Minute) // the keyring caches its check for one minute
		require.Equal(t, vault.Health{Ready: true}, f.Health(t.Context()))
		kek.Break(keyring.ErrUnavailable)
		time.Sleep(2 * time.Minute)
		require.Equal(t, vault.Health{Ready: true, Detail: "The key service is unavailable; serving with the data keys in memory."}, f.Health(t.Context()))
		kek.Break(keyring.ErrDenied)
		time.Sleep(2 * time.Minute)
		require.Equal(t, vault.Health{Detail: "The key service rejected the vault's request."}, f.Health(t.Context()))
		f.Storage.Down.Set(errors.New(clue))
		require.Equal(t, vault.Health{Detail: "Storage is unavailable."}, f.Health(t.Context()), "the response does not contain the error")
		require.Contains(t, f.Log.Text(), clue, "the log contains it")
	})
}
