package vault_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// run starts Run. The returned function ends it and returns its error.
func (f *fixture) run(t *testing.T) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	synctest.Wait()
	return func() error {
		cancel()
		return <-ended
	}
}

func TestVault_Run(t *testing.T) {
	t.Run("stores times of last use every 30 seconds and at its end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "x")
			token := f.MustIssue(t, "acme")
			end := f.run(t)
			f.use(t, token, "", "")
			require.Zero(t, f.Storage.Touches.Load())
			time.Sleep(30 * time.Second)
			synctest.Wait()
			require.EqualValues(t, 1, f.Storage.Touches.Load(), "every 30 seconds, without another request")
			time.Sleep(time.Hour)
			require.EqualValues(t, 1, f.Storage.Touches.Load(), "an idle vault stores nothing")

			f.use(t, token, "", "")
			require.NoError(t, end())
			require.EqualValues(t, 2, f.Storage.Touches.Load(), "and once more at the end")
		})
	})

	t.Run("returns within five seconds of the end of its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixtureOver(t, &stuck{memstore.New()}, keyringtest.NewFake("kek"))
			f.MustPut(t, "acme", "A", "x")
			end := f.run(t)
			f.use(t, f.MustIssue(t, "acme"), "", "")
			start := time.Now()
			require.NoError(t, end(), "a failure is logged")
			require.Equal(t, 5*time.Second, time.Since(start))
			require.Contains(t, f.Log.Text(), "could not record when secrets were last used")
		})
	})

	t.Run("retries after a failure", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", "x")
			end := f.run(t)
			f.use(t, f.MustIssue(t, "acme"), "runner-7", "")
			f.Storage.FailTouch.Set(errDown)
			time.Sleep(31 * time.Second)
			f.Storage.FailTouch.Set(nil)
			time.Sleep(30 * time.Second)
			snap, err := f.Storage.Read(t.Context(), store.Query{Scope: "acme", Tokens: true})
			require.NoError(t, err)
			require.Equal(t, "runner-7", snap.Tokens[0].LastRunner)
			require.NoError(t, end())
		})
	})

	t.Run("drops old audit entries once a day", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t).with(t, vault.Options{AuditKeep: 30 * 24 * time.Hour})
			ctx := vault.WithActor(t.Context(), "janitor")
			for _, tenant := range []string{"acme", "globex"} {
				f.MustPut(t, tenant, "A", "old")
			}
			time.Sleep(29 * 24 * time.Hour)
			f.MustPut(t, "acme", "A", "young")
			ctx, cancel := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- f.Run(ctx) }()

			newest := func(tenant string) audit.Record {
				page, err := f.AuditPage(t.Context(), tenant, 0, 10)
				require.NoError(t, err)
				return page[0]
			}
			time.Sleep(23 * time.Hour) // well after the first turn
			require.Equal(t, audit.Put, newest("acme").Action, "nothing is old enough")
			time.Sleep(25 * time.Hour)
			for _, tenant := range []string{"acme", "globex"} {
				require.Equal(t, audit.Trim, newest(tenant).Action, tenant)
				require.Equal(t, "janitor", newest(tenant).Actor)
				require.EqualValues(t, 1, newest(tenant).Through)
				_, err := f.VerifyAudit(t.Context(), tenant, nil, nil)
				require.NoError(t, err, "the rest of the chain is valid")
			}
			require.Contains(t, f.Log.Text(), "old audit entries were dropped")
			cancel()
			require.NoError(t, <-ended)
		})
	})

	t.Run("first drops entries at a random time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			moments := map[time.Duration]bool{}
			for range 20 {
				f := newFixture(t).with(t, vault.Options{AuditKeep: time.Nanosecond})
				f.MustPut(t, "acme", "A", "x")
				end := f.run(t)
				start := time.Now()
				for f.Storage.Appended.Load() < 2 {
					time.Sleep(time.Second)
				}
				took := time.Since(start).Truncate(time.Second)
				require.GreaterOrEqual(t, took, time.Minute)
				require.LessOrEqual(t, took, 11*time.Minute+time.Second)
				moments[took] = true
				require.NoError(t, end())
			}
			require.Greater(t, len(moments), 1, "processes that start together do not trim together")
		})
	})

	t.Run("drops the entries of other tenants when one chain is broken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t).with(t, vault.Options{AuditKeep: time.Hour})
			for _, tenant := range []string{"acme", "globex"} {
				f.MustPut(t, tenant, "A", "one")
				f.MustPut(t, tenant, "A", "two")
			}
			f.breakChain(t, "acme")
			end := f.run(t)
			time.Sleep(25 * time.Hour)
			require.Contains(t, f.Log.Text(), "could not drop old audit entries")
			page, err := f.AuditPage(t.Context(), "globex", 0, 1)
			require.NoError(t, err)
			require.Equal(t, audit.Trim, page[0].Action)
			require.NoError(t, end())
		})
	})

	t.Run("fails while another Run is in progress", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			end := f.run(t)
			require.ErrorContains(t, f.Run(t.Context()), "already running")
			require.NoError(t, end())
			require.NoError(t, f.run(t)(), "once the first has ended, it can run again")
		})
	})
}

// stuck is a storage whose Touch returns only when its context is done.
type stuck struct{ store.Store }

func (s *stuck) Touch(ctx context.Context, _ []store.Usage) error {
	<-ctx.Done()
	return ctx.Err()
}

// breakChain drops the oldest entry of a chain directly in the storage.
func (f *fixture) breakChain(t *testing.T, tenant string) {
	t.Helper()
	require.NoError(t, f.Storage.Apply(t.Context(), &store.Change{DropAudit: []store.AuditRef{{Tenant: tenant, Seq: 1}}}))
}

func TestNew_NegativeAuditKeep(t *testing.T) {
	keys, err := keyring.New(keyringtest.NewFake("kek"), nil)
	require.NoError(t, err)
	_, err = vault.New(t.Context(), memstore.New(), keys, &vault.Options{AuditKeep: -time.Second})
	require.ErrorIs(t, err, vault.ErrInvalid)
	require.ErrorContains(t, err, "AuditKeep")
}
