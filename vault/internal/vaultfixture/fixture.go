package vaultfixture

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// Fixture is a vault for a test and its dependencies. Its methods fail the test if the
// vault returns an error.
type Fixture struct {
	*vault.Vault
	// Storage is the store of the vault.
	Storage *Spy
	// KEK is the key service. It counts calls and fails on demand.
	KEK *keyringtest.Fake
	// Log has the log records of the vault.
	Log *Logbook
}

// New returns a fixture with an empty vault in memory.
func New(t testing.TB) *Fixture {
	t.Helper()
	return Over(t, memstore.New(), keyringtest.NewFake("kek"), nil)
}

// Over returns a fixture with a vault over s that has seen and cached nothing, like one
// of another process. opts may be nil; its Logger is replaced by the fixture's Log.
func Over(t testing.TB, s store.Store, kek *keyringtest.Fake, opts *vault.Options) *Fixture {
	t.Helper()
	f := &Fixture{Storage: &Spy{Store: s}, KEK: kek, Log: &Logbook{}}
	f.Vault = NewVault(t, f.Storage, kek, f.Log, opts)
	return f
}

// NewVault returns a vault over s under kek that logs to log. opts may be nil; its Logger
// is replaced.
func NewVault(t testing.TB, s store.Store, kek keyring.KEK, log *Logbook, opts *vault.Options) *vault.Vault {
	t.Helper()
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	var o vault.Options
	if opts != nil {
		o = *opts
	}
	o.Logger = log.Logger()
	v, err := vault.New(t.Context(), s, keys, &o)
	require.NoError(t, err)
	return v
}

// MustPut stores a secret, with no options or the first of opts.
func (f *Fixture) MustPut(t testing.TB, scope, name, value string, opts ...vault.PutOptions) api.Secret {
	t.Helper()
	var o *vault.PutOptions
	if len(opts) > 0 {
		o = &opts[0]
	}
	info, err := f.Put(t.Context(), scope, name, bundle.NewValue(value), o)
	require.NoError(t, err)
	return info
}

// MustIssue returns a new token, with no options or the first of opts.
func (f *Fixture) MustIssue(t testing.TB, scope string, opts ...vault.TokenOptions) bundle.Value {
	t.Helper()
	var o *vault.TokenOptions
	if len(opts) > 0 {
		o = &opts[0]
	}
	token, _, err := f.IssueToken(t.Context(), scope, o)
	require.NoError(t, err)
	return token
}

// Fifty stores fifty secrets of 256 bytes in the three scopes of a path, and returns a
// token for the last scope.
func (f *Fixture) Fifty(t testing.TB) bundle.Value {
	t.Helper()
	for i := range 50 {
		scope := []string{"acme", "acme/web", "acme/web/pool-a"}[i%3]
		f.MustPut(t, scope, fmt.Sprintf("SECRET_%02d", i), fmt.Sprintf("%0256d", i))
	}
	return f.MustIssue(t, "acme/web/pool-a")
}

// Bundle returns the bundle for a token.
func (f *Fixture) Bundle(t testing.TB, token bundle.Value) *bundle.Bundle {
	t.Helper()
	b, err := f.Bootstrap(t.Context(), token, nil)
	require.NoError(t, err)
	return b
}

// Values returns the plaintext values of the bundle for a token, by name.
func (f *Fixture) Values(t testing.TB, token bundle.Value) map[string]string {
	t.Helper()
	return Reveal(f.Bundle(t, token))
}

// Reveal returns the plaintext values of b, by name.
func Reveal(b *bundle.Bundle) map[string]string {
	values := map[string]string{}
	for s := range b.All() {
		values[s.Name] = s.Value.Reveal()
	}
	return values
}

// TokenID returns the id of a token.
func TokenID(t testing.TB, token bundle.Value) string {
	t.Helper()
	id, err := wire.ParseToken(token.Reveal())
	require.NoError(t, err)
	return id
}

// RequireReason fails the test, with the message why, unless err is a
// *[vault.TokenError] with reason.
func RequireReason(t testing.TB, err error, reason vault.TokenReason, why string) {
	t.Helper()
	var refused *vault.TokenError
	require.ErrorAs(t, err, &refused, why)
	require.Equal(t, reason, refused.Reason, why)
}

// Soon returns the time one hour from now, which no test reaches, in UTC and with the
// precision of storage.
func Soon() time.Time { return time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond) }
