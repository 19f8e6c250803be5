package vault_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// audit returns the verified audit entries of a tenant.
func (f *fixture) audit(t testing.TB, tenant string) []audit.Entry {
	t.Helper()
	var entries []audit.Entry
	_, err := f.VerifyAudit(t.Context(), tenant, nil, func(seq int64, e audit.Entry) error {
		require.Equal(t, int64(len(entries)+1), seq, "numbers have no gaps")
		entries = append(entries, e)
		return nil
	})
	require.NoError(t, err)
	return entries
}

func TestAudit_Entries(t *testing.T) {
	t.Run("records every write, delivery and refusal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sink := &auditor{}
			f := newFixture(t).with(t, vault.Options{Audit: []audit.Sink{sink}})
			ctx := vault.WithActor(t.Context(), "ada")
			put := func(value string) {
				_, err := f.Put(ctx, "acme", "A", bundle.NewValue(value), nil)
				require.NoError(t, err)
			}
			put(canaryOld)
			put(canaryTenant)
			put(canaryTenant) // changes nothing
			_, err := f.Activate(ctx, "acme", "A", 1)
			require.NoError(t, err)
			_, err = f.Hide(ctx, "acme/web", "B")
			require.NoError(t, err)
			require.NoError(t, f.Delete(ctx, "acme/web", "B"))
			token, info, err := f.IssueToken(ctx, "acme/web", nil)
			require.NoError(t, err)
			req := &vault.BootstrapRequest{Runner: "r1", RemoteAddr: "10.0.0.1"}
			_, err = f.Bootstrap(t.Context(), token, req)
			require.NoError(t, err)
			next, nextInfo, err := f.RotateToken(ctx, info.ID, nil)
			require.NoError(t, err)
			require.NoError(t, f.RevokeToken(ctx, info.ID))
			for range 3 {
				_, err = f.Bootstrap(t.Context(), token, req)
				requireReason(t, err, vault.TokenRevoked, "the token is revoked")
			}
			time.Sleep(time.Hour)
			_, err = f.RotateDataKeys(ctx, 0)
			require.NoError(t, err)

			type line struct {
				action  audit.Action
				actor   string
				scope   string
				name    string
				version int64
				token   string
			}
			want := []line{
				{audit.Put, "ada", "acme", "A", 1, ""},
				{audit.Put, "ada", "acme", "A", 2, ""},
				{audit.Activate, "ada", "acme", "A", 1, ""},
				{audit.Hide, "ada", "acme/web", "B", 1, ""},
				{audit.Delete, "ada", "acme/web", "B", 0, ""},
				{audit.Issue, "ada", "acme/web", "", 0, info.ID},
				{audit.Deliver, "", "acme/web", "", 0, info.ID},
				{audit.Issue, "ada", "acme/web", "", 0, nextInfo.ID},
				{audit.Revoke, "ada", "acme/web", "", 0, info.ID},
				{audit.Revoke, "ada", "acme/web", "", 0, info.ID},
				{audit.Refuse, "", "acme/web", "", 0, info.ID},
				{audit.MoveKeys, "ada", "acme", "", 0, ""},
				{audit.MoveKeys, "ada", "acme/web", "", 0, ""},
			}
			entries := f.audit(t, "acme")
			var got []line
			for _, e := range entries {
				got = append(got, line{e.Action, e.Actor, e.Scope, e.Name, e.Version, e.Token})
				require.False(t, e.Time.IsZero())
			}
			require.Equal(t, want, got)
			require.Equal(t, []string{"acme/A@1"}, entries[6].Delivered)
			require.Equal(t, "r1", entries[6].Runner)
			require.Equal(t, "10.0.0.1", entries[6].Addr)
			require.Equal(t, string(vault.TokenRevoked), entries[10].Reason)
			require.Equal(t, entries, sink.entries, "sinks get the same entries in the same order")

			_, err = f.Bootstrap(t.Context(), token, req)
			requireReason(t, err, vault.TokenRevoked, "the token is revoked")
			require.Len(t, f.audit(t, "acme"), len(want)+1, "after a minute, a refusal is recorded again")

			rows, err := f.Storage.Audit(t.Context(), "acme", 0, 1000)
			require.NoError(t, err)
			for _, row := range rows {
				leaktest.NoCanary(t, string(row.Entry), "an audit entry", canaries...)
				for _, secret := range []bundle.Value{token, next} {
					require.NotContains(t, string(row.Entry), secret.Reveal(), "entries name tokens by their ids")
				}
			}
		})
	})

	t.Run("does not record an unchanged poll", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "a")
		token := f.MustIssue(t, "acme")
		b := f.Bundle(t, token)
		before := len(f.audit(t, "acme"))
		for range 5 {
			_, err := f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: b.Meta().Revision})
			require.ErrorIs(t, err, vault.ErrUnchanged)
		}
		require.Len(t, f.audit(t, "acme"), before)
	})
}

func TestVault_VerifyAudit(t *testing.T) {
	t.Run("detects a modified chain", func(t *testing.T) {
		attacks := map[string][]string{
			"edited":               {"UPDATE audit SET entry = CAST(replace(CAST(entry AS TEXT), '\"version\":2', '\"version\":3') AS BLOB) WHERE tenant = 'acme' AND seq = 2"},
			"spaces added":         {"UPDATE audit SET entry = CAST(CAST(entry AS TEXT) || ' ' AS BLOB) WHERE tenant = 'acme' AND seq = 2"},
			"another MAC":          {"UPDATE audit SET mac = zeroblob(32) WHERE tenant = 'acme' AND seq = 3"},
			"missing":              {"DELETE FROM audit WHERE tenant = 'acme' AND seq = 3"},
			"the first missing":    {"DELETE FROM audit WHERE tenant = 'acme' AND seq = 1"},
			"all but the last":     {"DELETE FROM audit WHERE tenant = 'acme' AND seq < (SELECT max(seq) FROM audit WHERE tenant = 'acme')"},
			"missing, renumbered":  {"DELETE FROM audit WHERE tenant = 'acme' AND seq = 3", "UPDATE audit SET seq = seq + 1000 WHERE tenant = 'acme' AND seq > 3", "UPDATE audit SET seq = seq - 1001 WHERE tenant = 'acme' AND seq > 1000"},
			"the first renumbered": {"DELETE FROM audit WHERE tenant = 'acme' AND seq = 1", "UPDATE audit SET seq = seq + 1000 WHERE tenant = 'acme'", "UPDATE audit SET seq = seq - 1001 WHERE tenant = 'acme'"},
			"exchanged":            {"UPDATE audit SET seq = 1000 WHERE tenant = 'acme' AND seq = 2", "UPDATE audit SET seq = 2 WHERE tenant = 'acme' AND seq = 3", "UPDATE audit SET seq = 3 WHERE tenant = 'acme' AND seq = 1000"},
			"contents exchanged":   {"UPDATE audit SET entry = (SELECT entry FROM audit WHERE tenant = 'acme' AND seq = 1) WHERE tenant = 'acme' AND seq = 2"},
			"one put in again":     {"INSERT INTO audit SELECT tenant, (SELECT max(seq) + 1 FROM audit WHERE tenant = 'acme'), entry, key_id, mac FROM audit WHERE tenant = 'acme' AND seq = 2"},
			"one made up":          {"INSERT INTO audit SELECT tenant, (SELECT max(seq) + 1 FROM audit WHERE tenant = 'acme'), entry, key_id, zeroblob(32) FROM audit WHERE tenant = 'acme' AND seq = 2"},
			"another tenant's":     {"DELETE FROM audit WHERE tenant = 'acme'", "UPDATE audit SET tenant = 'acme' WHERE tenant = 'globex'"},
			"an unknown key":       {"UPDATE audit SET key_id = zeroblob(16) WHERE tenant = 'acme' AND seq = 2"},
		}
		w := newWorld(t)
		head, err := w.VerifyAudit(t.Context(), "acme", nil, nil)
		require.NoError(t, err)
		require.Greater(t, head.Seq, int64(5))
		for about, statements := range attacks {
			t.Run(about, func(t *testing.T) {
				c := w.copy(t)
				_, err := c.VerifyAudit(t.Context(), "acme", &head, nil)
				require.NoError(t, err, "the chain is genuine before the attack")
				for _, statement := range statements {
					c.sql(t, statement)
				}
				for _, f := range []*fixture{c.fixture, c.fresh(t)} {
					_, err = f.VerifyAudit(t.Context(), "acme", nil, nil)
					require.ErrorIs(t, err, keyring.ErrTampered)
					require.Positive(t, f.Log.Errors(), "the error is logged")
					_, err = f.TrimAudit(t.Context(), "acme", time.Now().Add(time.Hour))
					require.ErrorIs(t, err, keyring.ErrTampered, "trimming must not cover it up")
				}
			})
		}
	})

	t.Run("detects a truncated chain given an earlier head", func(t *testing.T) {
		w := newWorld(t)
		head, err := w.VerifyAudit(t.Context(), "acme", nil, nil)
		require.NoError(t, err)

		cut := w.copy(t)
		cut.sql(t, "DELETE FROM audit WHERE tenant = 'acme' AND seq >= ?", head.Seq)
		_, err = cut.VerifyAudit(t.Context(), "acme", nil, nil)
		require.NoError(t, err, "without a head, the cut cannot be detected")
		_, err = cut.VerifyAudit(t.Context(), "acme", &head, nil)
		require.ErrorIs(t, err, keyring.ErrTampered)
		cut.MustPut(t, "acme", "Z", "z")
		cut.MustPut(t, "acme", "Y", "y")
		_, err = cut.VerifyAudit(t.Context(), "acme", nil, nil)
		require.NoError(t, err)
		_, err = cut.VerifyAudit(t.Context(), "acme", &head, nil)
		require.ErrorIs(t, err, keyring.ErrTampered, "new entries do not hide the cut")

		gone := w.copy(t)
		gone.sql(t, "DELETE FROM audit WHERE tenant = 'acme'")
		_, err = gone.VerifyAudit(t.Context(), "acme", &head, nil)
		require.ErrorIs(t, err, keyring.ErrTampered, "the chain is missing")
	})

	t.Run("detects missing entries that no trim accounts for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := memstore.New()
			f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
			for i := range 4 {
				f.MustPut(t, "acme", "A", fmt.Sprint(i))
			}
			time.Sleep(time.Hour)
			border := time.Now()
			f.MustPut(t, "acme", "B", "b")
			f.MustPut(t, "acme", "C", "c")
			_, err := f.TrimAudit(t.Context(), "acme", border)
			require.NoError(t, err)
			require.NoError(t, storage.Apply(t.Context(), &store.Change{DropAudit: []store.AuditRef{{Tenant: "acme", Seq: 5}}}))
			_, err = f.VerifyAudit(t.Context(), "acme", nil, nil)
			require.ErrorIs(t, err, keyring.ErrTampered, "one entry more is missing than the trim dropped")
		})
	})

	t.Run("accepts entries appended under a new data key meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := &between{Store: memstore.New()}
			f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
			f.MustPut(t, "acme", "A", "a")
			time.Sleep(time.Hour)
			other := newFixtureOver(t, storage.Store, f.KEK)
			storage.do = func() {
				if _, err := other.RotateDataKeys(t.Context(), 0); err != nil {
					t.Errorf("a rotation failed: %v", err)
				}
			}
			_, err := f.VerifyAudit(t.Context(), "acme", nil, nil)
			require.NoError(t, err)
		})
	})

	t.Run("requires the name of a tenant, as TrimAudit does", func(t *testing.T) {
		f := newFixture(t)
		for _, tenant := range []string{"", "acme/web", "Not A Tenant"} {
			_, err := f.VerifyAudit(t.Context(), tenant, nil, nil)
			require.ErrorIs(t, err, vault.ErrInvalid)
			_, err = f.TrimAudit(t.Context(), tenant, time.Unix(math.MaxInt32, 0))
			require.ErrorIs(t, err, vault.ErrInvalid)
		}
		head, err := f.VerifyAudit(t.Context(), "acme", nil, nil)
		require.NoError(t, err)
		require.Zero(t, head, "a tenant without entries has the zero head")
	})
}

func TestVault_TrimAudit(t *testing.T) {
	t.Run("leaves a chain that can be verified", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			for i := range 600 { // more than a page
				f.MustPut(t, "acme", "A", fmt.Sprint(i))
			}
			f.MustPut(t, "globex", "A", "g")
			early, err := f.VerifyAudit(t.Context(), "acme", nil, nil)
			require.NoError(t, err)
			time.Sleep(time.Hour)
			border := time.Now()
			f.MustPut(t, "acme", "B", "b")
			f.MustPut(t, "acme", "C", "c")
			head, err := f.VerifyAudit(t.Context(), "acme", &early, nil)
			require.NoError(t, err)

			n, err := f.TrimAudit(vault.WithActor(t.Context(), "ada"), "acme", border)
			require.NoError(t, err)
			require.Equal(t, int64(600), n)
			var seqs []int64
			var actions []audit.Action
			visit := func(seq int64, e audit.Entry) error {
				seqs, actions = append(seqs, seq), append(actions, e.Action)
				return nil
			}
			for _, since := range []*audit.Head{nil, &early, &head} {
				seqs, actions = nil, nil
				_, err = f.process(t).VerifyAudit(t.Context(), "acme", since, visit)
				require.NoError(t, err)
				require.Equal(t, []int64{601, 602, 603}, seqs)
				require.Equal(t, []audit.Action{audit.Put, audit.Put, audit.Trim}, actions)
			}
			require.Len(t, f.audit(t, "globex"), 1, "the chain of the other tenant is unchanged")

			n, err = f.TrimAudit(t.Context(), "acme", border)
			require.NoError(t, err)
			require.Zero(t, n, "nothing is dropped, and nothing is appended")

			n, err = f.TrimAudit(t.Context(), "acme", time.Now().Add(time.Hour))
			require.NoError(t, err)
			require.Equal(t, int64(3), n, "the entry of the first trim is dropped too")
			f.MustPut(t, "acme", "D", "d")
			seqs, actions = nil, nil
			_, err = f.VerifyAudit(t.Context(), "acme", &head, visit)
			require.NoError(t, err)
			require.Equal(t, []audit.Action{audit.Trim, audit.Put}, actions)
		})
	})

	t.Run("drops nothing if its entry cannot be recorded", func(t *testing.T) {
		for _, bestEffort := range []bool{false, true} {
			storage := &forgetful{Store: memstore.New()}
			f := newFixtureOver(t, storage, keyringtest.NewFake("kek")).with(t, vault.Options{AuditBestEffort: bestEffort})
			f.MustPut(t, "acme", "A", "a")
			f.MustPut(t, "acme", "A", "b")
			storage.on.Store(true)
			_, err := f.TrimAudit(t.Context(), "acme", time.Now().Add(time.Hour))
			require.ErrorIs(t, err, errFull)
			require.Len(t, f.audit(t, "acme"), 2, "a chain without the entry of its trim could not be verified")
		}
	})
}

// forgetful is a storage that can refuse audit entries.
type forgetful struct {
	store.Store
	on atomic.Bool
}

var errFull = errors.New("the disk is full")

func (s *forgetful) Apply(ctx context.Context, c *store.Change) error {
	if s.on.Load() && len(c.Append) > 0 {
		return errFull
	}
	return s.Store.Apply(ctx, c)
}

// slowAppend is a storage in which appending audit entries takes a second.
type slowAppend struct {
	store.Store
	appends atomic.Int64
}

func (s *slowAppend) Apply(ctx context.Context, c *store.Change) error {
	if len(c.Append) > 0 {
		s.appends.Add(1)
		time.Sleep(time.Second)
	}
	return s.Store.Apply(ctx, c)
}

// newSlowFixture returns a vault over a slowAppend with a secret and a token, which has
// fetched a bundle.
func newSlowFixture(t *testing.T) (*fixture, bundle.Value, *slowAppend) {
	t.Helper()
	storage := &slowAppend{Store: memstore.New()}
	f := newFixtureOver(t, storage, keyringtest.NewFake("kek"))
	f.MustPut(t, "acme", "A", "a")
	token := f.MustIssue(t, "acme")
	f.Values(t, token)
	return f, token, storage
}

func TestAudit_Deliveries(t *testing.T) {
	t.Run("share a write when they are concurrent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, storage := newSlowFixture(t)
			before := storage.appends.Load()
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					if _, err := f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{Runner: fmt.Sprint(i)}); err != nil {
						t.Errorf("a delivery failed: %v", err)
					}
				})
			}
			wg.Wait()
			require.LessOrEqual(t, storage.appends.Load()-before, int64(2), "one write for the first entry and one for all others")
			runners := map[string]int{}
			for _, e := range f.audit(t, "acme") {
				if e.Action == audit.Deliver && e.Runner != "" {
					runners[e.Runner]++
				}
			}
			require.Len(t, runners, 100, "no entry is lost")
			for runner, n := range runners {
				require.Equal(t, 1, n, "runner %s", runner)
			}
		})
	})

	t.Run("are recorded despite faster writers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixtureOver(t, busyChain{memstore.New()}, keyringtest.NewFake("kek"))
			f.MustPut(t, "acme", "A", "a")
			token := f.MustIssue(t, "acme")
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() {
					if _, err := f.Bootstrap(t.Context(), token, nil); err != nil {
						t.Errorf("a delivery failed: %v", err)
					}
				})
			}
			wg.Wait()
			require.Len(t, f.audit(t, "acme"), 1002)
		})
	})

	t.Run("do not wait for later ones", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, _ := newSlowFixture(t)
			longest := make(chan time.Duration, 20)
			var wg sync.WaitGroup
			for i := range 20 { // one every half second
				wg.Go(func() {
					time.Sleep(time.Duration(i) * time.Second / 2)
					began := time.Now()
					if _, err := f.Bootstrap(t.Context(), token, nil); err != nil {
						t.Errorf("a delivery failed: %v", err)
					}
					longest <- time.Since(began)
				})
			}
			wg.Wait()
			close(longest)
			for took := range longest {
				require.LessOrEqual(t, took, 2*time.Second, "a delivery waits for the write under way and for one more")
			}
		})
	})

	t.Run("keep their entries when another runner disconnects", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, token, _ := newSlowFixture(t)
			var wg sync.WaitGroup
			var served atomic.Int64
			for i := range 30 {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * 100 * time.Millisecond)
					ctx := t.Context()
					if i%3 == 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time.Duration(i%7)*150*time.Millisecond)
						defer cancel()
					}
					_, err := f.Bootstrap(ctx, token, &vault.BootstrapRequest{Runner: fmt.Sprint(i)})
					if i%3 != 0 && err != nil {
						t.Errorf("a delivery failed: %v", err)
					}
					if err == nil {
						served.Add(1)
					}
				})
			}
			wg.Wait()
			recorded := 0
			for _, e := range f.audit(t, "acme") {
				if e.Action == audit.Deliver && e.Runner != "" {
					recorded++
				}
			}
			require.GreaterOrEqual(t, int64(recorded), served.Load(), "every delivery is recorded")
			f.Values(t, token)
		})
	})

	t.Run("from two processes go to one chain", func(t *testing.T) {
		kek := keyringtest.NewFake("kek")
		file := filepath.Join(t.TempDir(), "vault.db")
		processes := []*fixture{openSQLite(t, file, kek), openSQLite(t, file, kek)}
		processes[0].MustPut(t, "acme", "A", "a")
		token := processes[0].MustIssue(t, "acme")
		var wg sync.WaitGroup
		for i := range 20 {
			process := processes[i%2]
			wg.Go(func() {
				if _, err := process.Bootstrap(t.Context(), token, nil); err != nil {
					t.Errorf("a delivery failed: %v", err)
				}
			})
			wg.Go(func() {
				if _, err := process.Put(t.Context(), "acme", fmt.Sprintf("S%d", i), bundle.NewValue("x"), nil); err != nil {
					t.Errorf("a write failed: %v", err)
				}
			})
		}
		wg.Wait()
		actions := map[audit.Action]int{}
		for _, e := range processes[1].audit(t, "acme") {
			actions[e.Action]++
		}
		require.Equal(t, map[audit.Action]int{audit.Put: 21, audit.Issue: 1, audit.Deliver: 20}, actions)
	})
}

// busyChain is a storage whose audit chains grow so fast that appending more than four
// entries always conflicts.
type busyChain struct{ store.Store }

func (s busyChain) Apply(ctx context.Context, c *store.Change) error {
	if len(c.Append) > 4 {
		return store.ErrConflict
	}
	return s.Store.Apply(ctx, c)
}

// between is a storage that calls do once before it reads a chain.
type between struct {
	store.Store
	do func()
}

func (b *between) Audit(ctx context.Context, tenant string, after int64, limit int) ([]store.AuditRow, error) {
	if b.do != nil {
		do := b.do
		b.do = nil
		do()
	}
	return b.Store.Audit(ctx, tenant, after, limit)
}
