package vaulthttp_test

import (
	"testing"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring/keyringtest"
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
type fixture struct{ *vaultfixture.Fixture }

// newFixture returns a fixture with an empty vault in memory.
func newFixture(t testing.TB) *fixture {
	t.Helper()
	return &fixture{vaultfixture.New(t)}
}

// newFixtureOver returns a fixture with a vault over s that has seen and cached nothing.
func newFixtureOver(t testing.TB, s store.Store, kek *keyringtest.Fake) *fixture {
	t.Helper()
	return &fixture{vaultfixture.Over(t, s, kek, nil)}
}

// process returns a vault in another process over the same storage.
func (f *fixture) process(t testing.TB) *fixture {
	t.Helper()
	return newFixtureOver(t, f.Storage.Store, f.KEK)
}

const canaryTenant = "canary-tenant-7d1f3b9e5a2c4860"

// begin returns a vault with a secret, a token for it, and the revision of its
// bundle.
func begin(t *testing.T) (f *fixture, token bundle.Value, revision string) {
	f = newFixture(t)
	f.MustPut(t, "acme", "A", "one")
	f.MustPut(t, "globex", "A", "one")
	token = f.MustIssue(t, "acme/web/pool-a")
	return f, token, f.Bundle(t, token).Revision()
}
