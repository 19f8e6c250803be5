package vault_test

import (
	"hash/crc32"
	"testing"

	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/internal/vaultfixture"
	"github.com/satchelhq/satchel/vault/store"
)

// The names of package vaultfixture in these tests.
var (
	reveal        = vaultfixture.Reveal
	tokenID       = vaultfixture.TokenID
	requireReason = vaultfixture.RequireReason
	soon          = vaultfixture.Soon
)

// fixture is a vault for a test and its dependencies.
type fixture struct {
	*vaultfixture.Fixture
	refused int // the number of checked refusals
}

// newFixture returns a fixture with an empty vault in memory.
func newFixture(t testing.TB) *fixture {
	t.Helper()
	return &fixture{Fixture: vaultfixture.New(t)}
}

// newFixtureOver returns a fixture with a vault over s that has seen and cached nothing.
func newFixtureOver(t testing.TB, s store.Store, kek *keyringtest.Fake) *fixture {
	t.Helper()
	return &fixture{Fixture: vaultfixture.Over(t, s, kek, nil)}
}

// with returns a vault in another process over the same storage, with opts.
func (f *fixture) with(t testing.TB, opts vault.Options) *fixture {
	t.Helper()
	return &fixture{Fixture: vaultfixture.Over(t, f.Storage.Store, f.KEK, &opts)}
}

// process returns a vault in another process over the same storage.
func (f *fixture) process(t testing.TB) *fixture {
	t.Helper()
	return f.with(t, vault.Options{})
}

// wireChecksum returns the checksum of a token's first 59 bytes.
func wireChecksum(body string) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := crc32.ChecksumIEEE([]byte(body))
	out := make([]byte, 6)
	for i := range out {
		out[5-i] = alphabet[sum%62]
		sum /= 62
	}
	return string(out)
}
