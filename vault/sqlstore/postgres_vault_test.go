package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// openVault returns a vault as in a separate process.
func openVault(t testing.TB, s store.Store, kek keyring.KEK, wake <-chan struct{}) *vault.Vault {
	t.Helper()
	keys, err := keyring.New(kek, nil)
	require.NoError(t, err)
	v, err := vault.New(t.Context(), s, keys, &vault.Options{Logger: slog.New(slog.DiscardHandler), Wake: wake})
	require.NoError(t, err)
	return v
}

// openVaults returns two vaults on one database, as in two processes, and the
// counters of the second.
func openVaults(t testing.TB, dsn string) (writer, other *vault.Vault, counters *counting) {
	t.Helper()
	kek := keyringtest.NewFake("kek")
	counters = &counting{Store: openPostgres(t, dsn)}
	return openVault(t, openPostgres(t, dsn), kek, nil), openVault(t, counters, kek, nil), counters
}

// put stores a secret, or fails the test.
func put(t testing.TB, v *vault.Vault, scope, name, value string) {
	t.Helper()
	_, err := v.Put(t.Context(), scope, name, bundle.NewValue(value), nil)
	require.NoError(t, err)
}

// runner is a runner that waits.
type runner struct {
	token bundle.Value
	id    string
	last  *bundle.Bundle
}

// newRunners returns runners of a scope, each with its own token and bundle.
func newRunners(t testing.TB, v *vault.Vault, scope string, n int) []*runner {
	t.Helper()
	runners := make([]*runner, n)
	for i := range runners {
		token, info, err := v.IssueToken(t.Context(), scope, nil)
		require.NoError(t, err)
		runners[i] = &runner{token: token, id: info.ID}
		runners[i].last, err = v.Bootstrap(t.Context(), token, nil)
		require.NoError(t, err)
	}
	return runners
}

// ending is the result of a runner's wait, and its time.
type ending struct {
	bundle *bundle.Bundle
	err    error
	at     time.Time
}

// waitSeated is wait, and returns when all runners wait at the vault: each reads
// its seals when it arrives, and again when it has taken its place.
func waitSeated(t testing.TB, v *vault.Vault, counters *counting, runners []*runner, d time.Duration) <-chan []ending {
	t.Helper()
	before := counters.seals.Load()
	ended := wait(t.Context(), v, runners, d)
	require.Eventually(t, func() bool { return counters.seals.Load() >= before+int64(2*len(runners)) }, generous, time.Millisecond, "all runners wait")
	return ended
}

// wait starts a wait of all runners, and returns a channel with the ends of all.
func wait(ctx context.Context, v *vault.Vault, runners []*runner, d time.Duration) <-chan []ending {
	done := make(chan []ending, 1)
	go func() {
		ended := make([]ending, len(runners))
		var group sync.WaitGroup
		for i, r := range runners {
			group.Go(func() {
				b, err := v.Bootstrap(ctx, r.token, &vault.BootstrapRequest{IfNoneMatch: r.last.Revision(), Wait: d})
				ended[i] = ending{b, err, time.Now()}
			})
		}
		group.Wait()
		done <- ended
	}()
	return done
}

// delays summarizes the delays of ended after start.
func delays(start time.Time, ended []ending) string {
	var all []time.Duration
	for _, e := range ended {
		all = append(all, e.at.Sub(start))
	}
	slices.Sort(all)
	at := func(share float64) time.Duration {
		return all[min(int(share*float64(len(all))), len(all)-1)].Round(time.Millisecond)
	}
	return fmt.Sprintf("%d runners: p50 %s, p90 %s, p99 %s, max %s", len(all), at(0.5), at(0.9), at(0.99), at(1))
}

// generous bounds a delay of about a second, for busy machines. docs/scale.md has
// measured delays.
const generous = 10 * time.Second

func requireNamed(t *testing.T, b *bundle.Bundle, name, want string) {
	t.Helper()
	s, ok := b.Get(name)
	require.True(t, ok, "the bundle has %s", name)
	require.Equal(t, want, s.Value.Reveal())
}

func TestPostgres_Runners(t *testing.T) {
	t.Run("get the writes of another process while they wait", func(t *testing.T) {
		writer, other, counters := openVaults(t, postgrestest.Schema(t))
		put(t, writer, "acme", "A", "one")
		runners := newRunners(t, writer, "acme/web/pool-a", 100)
		for round, write := range []struct {
			about string
			do    func() error
		}{
			{"a write", func() error {
				_, err := writer.Put(t.Context(), "acme", "A", bundle.NewValue("two"), nil)
				return err
			}},
			{"a tombstone", func() error { _, err := writer.Hide(t.Context(), "acme/web", "A"); return err }},
			{"a roll-back", func() error { _, err := writer.Activate(t.Context(), "acme", "A", 1); return err }},
			{"a deletion", func() error { return writer.Delete(t.Context(), "acme/web", "A") }},
			{"the rotation of a token", func() error {
				_, _, err := writer.RotateToken(t.Context(), runners[0].id, nil)
				return err
			}},
			{"the rotation of the data key", func() error { _, err := writer.RotateDataKeys(t.Context(), 0); return err }},
		} {
			ended := waitSeated(t, other, counters, runners, 50*time.Second)
			start := time.Now()
			require.NoError(t, write.do(), write.about)
			written := time.Now()
			all := <-ended
			for i, e := range all {
				require.NoError(t, e.err, write.about)
				require.NotEqual(t, runners[i].last.Revision(), e.bundle.Revision(), write.about)
				require.Less(t, e.at.Sub(written), generous, write.about)
				runners[i].last = e.bundle
			}
			t.Logf("%d. %s took %s; after it, %s", round+1, write.about, written.Sub(start).Round(time.Millisecond), delays(written, all))
		}
		requireNamed(t, runners[1].last, "A", "one")
	})

	t.Run("are refused in all processes once a revocation returns", func(t *testing.T) {
		writer, other, _ := openVaults(t, postgrestest.Schema(t))
		put(t, writer, "acme", "A", "one")
		runners := newRunners(t, writer, "acme", 30)
		for _, r := range runners {
			_, err := other.Bootstrap(t.Context(), r.token, &vault.BootstrapRequest{IfNoneMatch: r.last.Revision()})
			require.NotErrorIs(t, err, audit.ErrNotRecorded)
			require.NoError(t, writer.RevokeToken(t.Context(), r.id))
			for _, req := range []*vault.BootstrapRequest{nil, {IfNoneMatch: r.last.Revision()}, {IfNoneMatch: r.last.Revision(), Wait: time.Minute}} {
				_, err := other.Bootstrap(t.Context(), r.token, req)
				refused, ok := errors.AsType[*vault.TokenError](err)
				require.True(t, ok, "a revoked token is refused elsewhere: %v", err)
				require.Equal(t, vault.TokenRevoked, refused.Reason)
			}
		}
	})

	t.Run("learn of a revocation while they wait in another process", func(t *testing.T) {
		writer, other, counters := openVaults(t, postgrestest.Schema(t))
		put(t, writer, "acme", "A", "one")
		runners := newRunners(t, writer, "acme", 50)
		ended := waitSeated(t, other, counters, runners[:1], 50*time.Second)
		require.NoError(t, writer.RevokeToken(t.Context(), runners[0].id))
		start := time.Now()
		all := <-ended
		refused, ok := errors.AsType[*vault.TokenError](all[0].err)
		require.True(t, ok, "%v", all[0].err)
		require.Equal(t, vault.TokenRevoked, refused.Reason)
		require.Less(t, all[0].at.Sub(start), generous)
		t.Log(delays(start, all))
	})

	// Waiting runners do not notice a restart of the database. A runner without a
	// bundle must retry.
	t.Run("keep waiting through a restart of the server", func(t *testing.T) {
		server := postgrestest.Start(t)
		writer, other, counters := openVaults(t, server.DSN())
		put(t, writer, "acme", "A", "one")
		runners := newRunners(t, writer, "acme/web", 60)
		web := httptest.NewServer(vaulthttp.Runners(other, &vaulthttp.Options{Logger: slog.New(slog.DiscardHandler)}))
		t.Cleanup(web.Close)
		ask := func(r *runner) *http.Response {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+"/runners/bootstrap", nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+r.token.Reveal())
			response, err := web.Client().Do(req)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			return response
		}
		for round, stop := range []func(testing.TB){server.Stop, server.Crash} {
			// Some waits end during the outage, and others begin during it.
			ended := []<-chan []ending{
				waitSeated(t, other, counters, runners[:20], 50*time.Second),
				waitSeated(t, other, counters, runners[20:40], 600*time.Millisecond),
			}
			stop(t)
			began := time.Now()
			ended = append(ended, wait(t.Context(), other, runners[40:], 50*time.Second))
			response := ask(runners[0])
			require.Equal(t, http.StatusServiceUnavailable, response.StatusCode, "a runner without a bundle does not wait")
			require.Equal(t, "5", response.Header.Get("Retry-After"))
			time.Sleep(time.Until(began.Add(700 * time.Millisecond))) // the second group's waits are over
			server.Start(t)
			outage := time.Since(began)
			put(t, writer, "acme", "A", fmt.Sprint("round ", round))
			put(t, writer, "acme", "B", fmt.Sprint("round ", round))
			written := time.Now()
			for i, done := range ended {
				for j, e := range <-done {
					r := runners[20*i+j]
					if i == 1 && errors.Is(e.err, vault.ErrUnchanged) {
						continue // its wait ended before the write
					}
					if e.err != nil && i > 0 && outage > 7*time.Second {
						t.Logf("a restart that takes %s is too slow for this check: %v", outage, e.err)
						continue
					}
					require.NoError(t, e.err, "waiting runners do not notice an outage of %s", outage)
					require.Less(t, e.at.Sub(written), generous)
					require.NotEqual(t, r.last.Revision(), e.bundle.Revision())
				}
			}
			require.Equal(t, http.StatusOK, ask(runners[0]).StatusCode)
			for _, r := range runners {
				var err error
				r.last, err = other.Bootstrap(t.Context(), r.token, nil)
				require.NoError(t, err)
				requireNamed(t, r.last, "B", fmt.Sprint("round ", round))
			}
			t.Logf("the outage took %s", outage.Round(time.Millisecond))
		}
		_, err := other.VerifyAudit(t.Context(), "acme", nil, nil)
		require.NoError(t, err, "the audit chain has no gap")
	})
}
