package memstore_test

import (
	"testing"

	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

func TestStorage(t *testing.T) {
	vaulttest.RunStorage(t, func(*testing.T) store.Store { return memstore.New() })
}
