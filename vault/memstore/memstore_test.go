package memstore_test

import (
	"testing"

	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

func TestStorage(t *testing.T) {
	vaulttest.RunStorage(t, func(*testing.T) vault.Storage { return memstore.New() })
}
