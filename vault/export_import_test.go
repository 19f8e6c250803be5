package vault_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// exported returns an export of the vault.
func (f *fixture) exported(t testing.TB) ([]byte, vault.ExportReport) {
	t.Helper()
	var out bytes.Buffer
	report, err := f.Export(t.Context(), &out, nil)
	require.NoError(t, err)
	return out.Bytes(), report
}

// requireEmpty fails the test unless s is empty.
func requireEmpty(t testing.TB, s store.Store, about string) {
	t.Helper()
	tenants, err := s.Tenants(t.Context(), "", 10)
	require.NoError(t, err, about)
	require.Empty(t, tenants, about)
	newest, scopes, err := s.Changes(t.Context(), 0)
	require.NoError(t, err, about)
	require.Zero(t, newest, about)
	require.Empty(t, scopes, about)
}

// chunks returns the offsets at which the header and each chunk of an export end.
func chunks(t testing.TB, export []byte) []int {
	t.Helper()
	at := 26 + int(binary.BigEndian.Uint32(export[22:]))
	borders := []int{at}
	for at < len(export) {
		at += 4 + int(binary.BigEndian.Uint32(export[at:]))
		borders = append(borders, at)
	}
	require.Equal(t, len(export), at)
	return borders
}

// requireRestored exports a vault, imports it into the one that open returns, and fails
// the test unless both are the same.
func requireRestored(t *testing.T, open func(*keyringtest.Fake) *fixture) {
	t.Helper()
	f := newFixture(t)
	estate := f.estate(t)
	for range 3 { // several revoked tokens, and one to be revoked later
		require.NoError(t, f.RevokeToken(t.Context(), tokenID(t, f.MustIssue(t, "globex/x"))))
	}
	overlap := f.MustIssue(t, "globex/x")
	_, _, err := f.RotateToken(t.Context(), tokenID(t, overlap), nil)
	require.NoError(t, err)
	f.MustPut(t, "acme", "D", "d1")
	f.MustPut(t, "acme", "D", "d2")
	require.NoError(t, f.Delete(t.Context(), "acme", "D"))
	for i := range 15 {
		f.MustPut(t, "acme", "E", fmt.Sprint("e", i))
	}
	_, err = f.Activate(t.Context(), "acme", "E", 9)
	require.NoError(t, err)
	estate[0].want["E"] = "e8"
	_, err = f.RotateDataKeys(t.Context(), 0)
	require.NoError(t, err)
	f.use(t, estate[0].token, "r1", "10.0.0.1")
	require.NoError(t, f.Flush(t.Context()))
	head, err := f.VerifyAudit(t.Context(), "acme", nil, nil)
	require.NoError(t, err)
	export, report := f.exported(t)
	require.Equal(t, 2, report.Tenants)
	require.Equal(t, 5, report.Scopes)

	g := open(f.KEK)
	imported, err := g.Import(t.Context(), bytes.NewReader(export))
	require.NoError(t, err)
	require.Equal(t, report, imported)

	for _, scope := range []string{"acme", "acme/web", "acme/web/api", "globex", "globex/x"} {
		want, err := f.List(t.Context(), scope)
		require.NoError(t, err)
		got, err := g.List(t.Context(), scope)
		require.NoError(t, err)
		require.Equal(t, want, got, scope)
		wantTokens, err := f.Tokens(t.Context(), scope)
		require.NoError(t, err)
		gotTokens, err := g.Tokens(t.Context(), scope)
		require.NoError(t, err)
		require.Equal(t, wantTokens, gotTokens, scope)
		for _, info := range want {
			wantHistory, err := f.History(t.Context(), scope, info.Name)
			require.NoError(t, err)
			gotHistory, err := g.History(t.Context(), scope, info.Name)
			require.NoError(t, err)
			require.Equal(t, wantHistory, gotHistory, "%s of %s", info.Name, scope)
		}
	}
	_, err = g.VerifyAudit(t.Context(), "acme", &head, nil)
	require.NoError(t, err)
	require.Equal(t, f.audit(t, "acme"), g.audit(t, "acme"))
	g.requireEstate(t, estate, "imported")
	require.Equal(t, f.Bundle(t, overlap).Meta().TokenExpires, g.Bundle(t, overlap).Meta().TokenExpires)
	require.Equal(t, f.Bundle(t, overlap).Meta().Revision, g.Bundle(t, overlap).Meta().Revision, "the revision is the same")
	require.Equal(t, int64(3), g.MustPut(t, "acme", "D", "d3").Version, "version numbers continue")
	require.Equal(t, int64(16), g.MustPut(t, "acme", "E", "new").Version)
	require.Zero(t, g.Log.Errors())
}

func TestVault_Import(t *testing.T) {
	t.Run("restores everything that was exported", func(t *testing.T) {
		t.Run("into memory", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requireRestored(t, func(kek *keyringtest.Fake) *fixture { return newFixtureOver(t, memstore.New(), kek) })
			})
		})
		t.Run("into SQLite", func(t *testing.T) {
			requireRestored(t, func(kek *keyringtest.Fake) *fixture {
				return openSQLite(t, filepath.Join(t.TempDir(), "vault.db"), kek)
			})
		})
	})

	t.Run("accepts the export of an empty vault", func(t *testing.T) {
		f := newFixture(t)
		export, report := f.exported(t)
		require.Zero(t, report)
		report, err := newFixtureOver(t, memstore.New(), f.KEK).Import(t.Context(), bytes.NewReader(export))
		require.NoError(t, err)
		require.Zero(t, report)
	})

	t.Run("refuses a truncated or edited export and stores nothing", func(t *testing.T) {
		f := newFixture(t)
		f.estate(t)
		for i := range 4 {
			f.MustPut(t, "acme", fmt.Sprintf("LONG%d", i), strings.Repeat("x", 40<<10))
		}
		export, _ := f.exported(t)
		borders := chunks(t, export)
		require.Greater(t, len(borders), 4, "the export has several chunks")
		refused := func(edited []byte, about string) {
			t.Helper()
			storage := memstore.New()
			g := newFixtureOver(t, storage, f.KEK)
			_, err := g.Import(t.Context(), bytes.NewReader(edited))
			require.Error(t, err, about)
			require.True(t, isIntegrity(err), "%s: %v", about, err)
			requireEmpty(t, storage, about)
		}
		for i, at := range borders[:len(borders)-1] {
			refused(export[:at], fmt.Sprintf("cut at border %d", i))
			refused(export[:at+2], fmt.Sprintf("cut after border %d", i))
			refused(export[:max(at-1, 0)], fmt.Sprintf("cut before border %d", i))
		}
		for _, at := range []int{0, 1, 3, 5, 21, 25, 26, borders[0] - 1, len(export) - 1} {
			refused(export[:at], fmt.Sprintf("cut at byte %d", at))
		}
		refused(append(bytes.Clone(export), 0), "a byte appended")
		refused(append(bytes.Clone(export), export[borders[1]:borders[2]]...), "a chunk appended")
		refused(append(bytes.Clone(export), export...), "twice")
		without := append(bytes.Clone(export[:borders[1]]), export[borders[2]:]...)
		refused(without, "a chunk missing")
		exchanged := bytes.Clone(export[:borders[1]])
		exchanged = append(exchanged, export[borders[2]:borders[3]]...)
		exchanged = append(exchanged, export[borders[1]:borders[2]]...)
		refused(append(exchanged, export[borders[3]:]...), "two chunks exchanged")
		other, _ := f.exported(t)
		cross := chunks(t, other)
		mixed := append(bytes.Clone(export[:borders[0]]), other[cross[0]:]...)
		refused(mixed, "the chunks of another export")

		step := len(export)/150 + 1
		for at := range export {
			if at > borders[0]+40 && at%step != 0 && at != len(export)-1 {
				continue
			}
			edited := bytes.Clone(export)
			edited[at] ^= 0x10
			refused(edited, fmt.Sprintf("byte %d flipped", at))
		}
	})

	t.Run("does not overwrite an existing tenant", func(t *testing.T) {
		f := newFixture(t)
		estate := f.estate(t)
		export, _ := f.exported(t)
		for scope, other := range map[string]int{"globex": 0, "acme/web": 1} {
			g := newFixtureOver(t, memstore.New(), f.KEK)
			g.MustPut(t, scope, "MINE", "mine")
			token := g.MustIssue(t, scope)
			report, err := g.Import(t.Context(), bytes.NewReader(export))
			require.ErrorIs(t, err, vault.ErrConflict)
			require.ErrorContains(t, err, fmt.Sprintf("tenant %q: ", store.Tenant(scope)))
			require.Equal(t, map[string]string{"MINE": "mine"}, g.Values(t, token))
			require.Equal(t, 1, report.Tenants, "the other tenant is imported")
			for _, r := range estate {
				if info, err := g.Token(t.Context(), tokenID(t, r.token)); err == nil {
					require.NotEqual(t, store.Tenant(scope), store.Tenant(info.Scope))
					require.Equal(t, r.want, g.Values(t, r.token))
					other++
				}
			}
			require.Positive(t, other)
		}
		report, err := f.Import(t.Context(), bytes.NewReader(export))
		require.ErrorIs(t, err, vault.ErrConflict, "the vault of the export has the tenants, too")
		require.Zero(t, report)
	})

	t.Run("can be repeated after an interruption", func(t *testing.T) {
		f := newFixture(t)
		estate := f.estate(t)
		export, _ := f.exported(t)
		storage := &mortal{Store: memstore.New()}
		g := newFixtureOver(t, storage, f.KEK)
		storage.die(1)
		report, err := g.Import(t.Context(), bytes.NewReader(export))
		storage.dies.Store(0)
		require.ErrorIs(t, err, errKilled)
		require.Equal(t, 1, report.Tenants)
		report, err = g.Import(t.Context(), bytes.NewReader(export))
		require.ErrorIs(t, err, vault.ErrConflict, "the error names the tenant that is there")
		require.Equal(t, 1, report.Tenants)
		g.requireEstate(t, estate, "imported in two steps")
	})

	t.Run("requires the keyring of the export", func(t *testing.T) {
		f := newFixture(t)
		f.estate(t)
		export, _ := f.exported(t)
		for _, kek := range []*keyringtest.Fake{keyringtest.NewFake("other"), keyringtest.NewFake("kek")} {
			storage := memstore.New()
			_, err := newFixtureOver(t, storage, kek).Import(t.Context(), bytes.NewReader(export))
			require.Error(t, err)
			requireEmpty(t, storage, "another keyring")
		}
	})

	t.Run("restores a trimmed audit chain", func(t *testing.T) {
		f := newFixture(t)
		estate := f.estate(t)
		n, err := f.TrimAudit(t.Context(), "acme", time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.Positive(t, n)
		export, _ := f.exported(t)
		for _, g := range []*fixture{newFixtureOver(t, memstore.New(), f.KEK), openSQLite(t, filepath.Join(t.TempDir(), "vault.db"), f.KEK)} {
			report, err := g.Import(t.Context(), bytes.NewReader(export))
			require.NoError(t, err)
			require.EqualValues(t, report.AuditEntries, g.Storage.Appended.Load(), "only the remaining entries are stored")
			g.requireEstate(t, estate, "the chain does not begin at 1")
			again, _ := g.exported(t)
			require.NotEmpty(t, again)
		}
	})
}

func TestVault_Export(t *testing.T) {
	t.Run("contains no value or name in plaintext", func(t *testing.T) {
		w := newWorld(t)
		export, _ := w.exported(t)
		leaktest.NoCanary(t, string(export), "an export", canaries...)
		for _, word := range []string{"acme", "globex", "ANTHROPIC", "anthropic", "pool", "ada"} {
			require.NotContains(t, string(export), word)
		}
	})

	t.Run("is complete during concurrent writes", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme/web")
		f.MustPut(t, "acme/web", "A", "a")
		stop := make(chan struct{})
		var busy sync.WaitGroup
		for i := range 3 {
			busy.Go(func() {
				for n := range 500 { // without a limit, each round would take longer
					select {
					case <-stop:
						return
					default:
					}
					if _, err := f.Put(t.Context(), fmt.Sprintf("acme/web/w%d-%d", i, n%10), "B", bundle.NewValue(fmt.Sprint(n)), nil); err != nil {
						t.Errorf("a write failed: %v", err)
					}
					if _, err := f.Bootstrap(t.Context(), token, nil); err != nil {
						t.Errorf("a delivery failed: %v", err)
					}
				}
			})
		}
		busy.Go(func() {
			if _, err := f.RotateDataKeys(t.Context(), 0); err != nil {
				t.Errorf("a rotation failed: %v", err)
			}
		})
		for range 10 {
			export, report := f.exported(t)
			g := newFixtureOver(t, memstore.New(), f.KEK)
			imported, err := g.Import(t.Context(), bytes.NewReader(export))
			require.NoError(t, err)
			require.Equal(t, report, imported)
			require.Equal(t, "a", g.Values(t, token)["A"])
			_, err = g.VerifyAudit(t.Context(), "acme", nil, nil)
			require.NoError(t, err)
		}
		close(stop)
		busy.Wait()
	})

	t.Run("fails if its output cannot be written", func(t *testing.T) {
		f := newFixture(t)
		f.estate(t)
		export, _ := f.exported(t)
		for _, n := range []int{0, len(export) - 1000} {
			_, err := f.Export(t.Context(), &brokenWriter{n: n}, nil)
			require.ErrorIs(t, err, io.ErrShortWrite)
		}
	})
}

// brokenWriter accepts n bytes and then fails.
type brokenWriter struct{ n int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}
