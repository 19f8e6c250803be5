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
		require.Equal(t, vault.Health{Detail: "The key service has not answered since this process began."}, f.Health(t.Context()))
		kek.Break(nil)
		time.Sleep(2 * time.Minute) // the keyring's check holds for one
		require.Equal(t, vault.Health{Ready: true}, f.Health(t.Context()))
		kek.Break(keyring.ErrUnavailable)
		time.Sleep(2 * time.Minute)
		require.Equal(t, vault.Health{Ready: true, Detail: "The key service is unavailable; data keys in memory serve."}, f.Health(t.Context()))
		kek.Break(keyring.ErrDenied)
		time.Sleep(2 * time.Minute)
		require.Equal(t, vault.Health{Detail: "The key service refuses the vault."}, f.Health(t.Context()))
		f.storage.fail(errors.New(clue))
		require.Equal(t, vault.Health{Detail: "The storage cannot be reached."}, f.Health(t.Context()), "the answer holds no error")
		require.Contains(t, f.log.text(), clue, "the log does")
	})
}
