package vaulthttp_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
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

const canaryTenant = "canary-tenant-7d1f3b9e5a2c4860"

// fixture is a vault with its storage, key service and log.
type fixture struct {
	*vault.Vault
	storage *spy
	kek     *keyringtest.Fake
	log     *logbook
}

// newFixture returns a vault in memory.
func newFixture(t testing.TB) *fixture {
	t.Helper()
	return newFixtureOver(t, memstore.New(), keyringtest.NewFake("kek"))
}

// newFixtureOver returns a vault over s with empty caches.
func newFixtureOver(t testing.TB, s store.Store, kek *keyringtest.Fake) *fixture {
	t.Helper()
	f := &fixture{storage: &spy{Store: s}, kek: kek, log: &logbook{}}
	f.Vault = newVault(t, f.storage, kek, f.log)
	return f
}

// process returns a vault of another process over the same storage.
func (f *fixture) process(t testing.TB) *fixture {
	t.Helper()
	return newFixtureOver(t, f.storage.Store, f.kek)
}

func newVault(t testing.TB, s store.Store, kek keyring.KEK, log *logbook) *vault.Vault {
	t.Helper()
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	v, err := vault.New(t.Context(), s, keys, &vault.Options{Logger: log.logger()})
	require.NoError(t, err)
	return v
}

// put stores a secret, or fails the test.
func (f *fixture) put(t testing.TB, scope, name, value string, opts ...vault.PutOptions) api.Secret {
	t.Helper()
	var o *vault.PutOptions
	if len(opts) > 0 {
		o = &opts[0]
	}
	info, err := f.Put(t.Context(), scope, name, bundle.NewValue(value), o)
	require.NoError(t, err)
	return info
}

// issue returns a new token, or fails the test.
func (f *fixture) issue(t testing.TB, scope string, opts ...vault.TokenOptions) bundle.Value {
	t.Helper()
	var o *vault.TokenOptions
	if len(opts) > 0 {
		o = &opts[0]
	}
	token, _, err := f.IssueToken(t.Context(), scope, o)
	require.NoError(t, err)
	return token
}

// bundle returns the bundle for a token, or fails the test.
func (f *fixture) bundle(t testing.TB, token bundle.Value) *bundle.Bundle {
	t.Helper()
	b, err := f.Bootstrap(t.Context(), token, nil)
	require.NoError(t, err)
	return b
}

// values returns the values that a runner with the token gets, by name.
func (f *fixture) values(t testing.TB, token bundle.Value) map[string]string {
	t.Helper()
	return reveal(f.bundle(t, token))
}

func reveal(b *bundle.Bundle) map[string]string {
	out := map[string]string{}
	for s := range b.All() {
		out[s.Name] = s.Value.Reveal()
	}
	return out
}

// tokenID returns the id of a token, or fails the test.
func tokenID(t testing.TB, token bundle.Value) string {
	t.Helper()
	id, err := wire.ParseToken(token.Reveal())
	require.NoError(t, err)
	return id
}

// requireReason fails the test unless err refuses a token for reason.
func requireReason(t testing.TB, err error, reason vault.TokenReason, why string) {
	t.Helper()
	var refused *vault.TokenError
	require.ErrorAs(t, err, &refused, why)
	require.Equal(t, reason, refused.Reason, why)
}

// spy counts the calls of its storage, and fails on demand.
type spy struct {
	store.Store
	asked   atomic.Int64
	failure atomic.Pointer[error]
	edit    atomic.Pointer[func(store.Query, *store.Snapshot)]
}

func (s *spy) calls() int64 { return s.asked.Load() }

// onRead has edit see and change the non-empty snapshots that the storage returns
// from now on.
func (s *spy) onRead(edit func(store.Query, *store.Snapshot)) { s.edit.Store(&edit) }

// fail makes every call fail with err until fail(nil).
func (s *spy) fail(err error) {
	if err == nil {
		s.failure.Store(nil)
		return
	}
	s.failure.Store(&err)
}

// ask counts a call, and returns its error.
func (s *spy) ask() error {
	s.asked.Add(1)
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *spy) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	if err := s.ask(); err != nil {
		return nil, err
	}
	snap, err := s.Store.Read(ctx, q)
	auditing := q.SealsOnly && q.AuditHead // the read before appending an entry
	if edit := s.edit.Load(); edit != nil && err == nil && len(snap.Path) > 0 && !auditing {
		(*edit)(q, snap)
	}
	return snap, err
}

func (s *spy) Apply(ctx context.Context, c *store.Change) error {
	if err := s.ask(); err != nil {
		return err
	}
	return s.Store.Apply(ctx, c)
}

func (s *spy) Touch(ctx context.Context, uses []store.Usage) error {
	if err := s.ask(); err != nil {
		return err
	}
	return s.Store.Touch(ctx, uses)
}

func (s *spy) Changes(ctx context.Context, since int64) (int64, []string, error) {
	if err := s.ask(); err != nil {
		return 0, nil, err
	}
	return s.Store.Changes(ctx, since)
}

// logbook records the log, at every level.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// errors returns the number of records at error level.
func (l *logbook) errors() int { return strings.Count(l.text(), "level=ERROR") }

// soon is a time after the end of every test.
func soon() time.Time { return time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond) }

// begin returns a vault with a secret, a token for it, and the revision of its
// bundle.
func begin(t *testing.T) (f *fixture, token bundle.Value, revision string) {
	f = newFixture(t)
	f.put(t, "acme", "A", "one")
	f.put(t, "globex", "A", "one")
	token = f.issue(t, "acme/web/pool-a")
	return f, token, f.bundle(t, token).Revision()
}
