package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
)

// raise returns a statement that fails with a code.
func raise(code string) string {
	return "DO $$ BEGIN RAISE EXCEPTION 'by the test' USING ERRCODE = '" + code + "'; END $$"
}

// failingWith has statements that match text fail with a code, a number of times.
func failingWith(s *spy, text, code string, times int) {
	s.around = func(ctx context.Context, query string, run func() error) error {
		if times == 0 || !is(query, text) {
			return run()
		}
		times--
		_, err := s.last.ExecContext(ctx, raise(code), nil)
		return err
	}
}

func TestPostgres_Tx(t *testing.T) {
	t.Run("retries a transaction after a serialization failure or deadlock", func(t *testing.T) {
		storage, s, other := spiedPostgres(t)
		n := 0
		next := func() error { return storage.Apply(t.Context(), testChange(n+1)) }
		for _, code := range []string{"40001", "40P01"} { // could not serialize, deadlock
			for _, text := range []string{"SET newest", `INSERT INTO`, "COMMIT"} {
				failingWith(s, text, code, 3)
				require.NoError(t, next(), "%s at %s: the loser of a race retries", code, text)
				n++
				requireUnlocked(t, other)
			}
			failingWith(s, "satchel_tokens", code, 3)
			requireChange(t, n, mustRead(t, storage, testQuery))
			failingWith(s, "satchel_tokens", code, 3)
			require.NoError(t, storage.Touch(t.Context(), []store.Usage{{Token: testTokenID(1), Time: time.Unix(0, 1)}}))

			// Rows read by a failed attempt do not count.
			failingWith(s, "COMMIT", code, 1)
			requireChange(t, n, mustRead(t, storage, testQuery))
			failingWith(s, "COMMIT", code, 1)
			_, scopes, err := storage.Changes(t.Context(), 0)
			require.NoError(t, err)
			require.Equal(t, []string{testScope}, scopes)
			failingWith(s, "COMMIT", code, 1)
			tenants, err := storage.Tenants(t.Context(), "", 10)
			require.NoError(t, err)
			require.Equal(t, []string{"acme"}, tenants)
			failingWith(s, "COMMIT", code, 1)
			entries, err := storage.Audit(t.Context(), "acme", 0, 100)
			require.NoError(t, err)
			require.Len(t, entries, n)

			failingWith(s, "SET newest", code, 1000)
			require.ErrorContains(t, next(), code, "but not forever")
			requireUnlocked(t, other)
		}
		for _, code := range []string{"42601", "53100", "57014", "23505"} {
			failingWith(s, "SET newest", code, 1)
			require.ErrorContains(t, next(), code, "other errors are not retried")
		}
		failingWith(s, "SET newest", "40001", 1000)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, storage.Apply(ctx, testChange(n+1)), context.Canceled)
		s.around = nil
		require.NoError(t, next(), "the store still works")
		requireChange(t, n+1, mustRead(t, storage, testQuery))
	})

	t.Run("replaces a dead connection of the pool", func(t *testing.T) {
		storage, s, other := spiedPostgres(t)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		var pid int
		for n, operation := range []func() error{
			func() error { return storage.Apply(t.Context(), testChange(2)) },
			func() error { _, err := storage.Read(t.Context(), testQuery); return err },
		} {
			s.around = func(ctx context.Context, query string, run func() error) error {
				s.around = nil
				// The server closes the connection while it is idle.
				require.NoError(t, s.last.Conn.(*stdlib.Conn).Conn().QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid))
				_, err := other.ExecContext(ctx, "SELECT pg_terminate_backend($1, 5000)", pid)
				require.NoError(t, err)
				return run()
			}
			require.NoError(t, operation(), "operation %d: no transaction had begun, so another connection is used", n)
		}
		requireChange(t, 2, mustRead(t, storage, testQuery))

		failing(s, "BEGIN", false)
		require.ErrorContains(t, storage.Apply(t.Context(), testChange(3)), "disk on fire", "but not forever")
	})

	t.Run("is undone if its connection breaks", func(t *testing.T) {
		storage, s, other := spiedPostgres(t)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		count := len(statements(s, func() { require.NoError(t, storage.Apply(t.Context(), testChange(2))) }))
		for k := 1; k < count; k++ {
			at := 0
			s.around = func(ctx context.Context, query string, run func() error) error {
				if at++; at == k+1 && query != "ROLLBACK" {
					var pid int
					require.NoError(t, s.last.Conn.(*stdlib.Conn).Conn().QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid))
					_, err := other.ExecContext(ctx, "SELECT pg_terminate_backend($1, 5000)", pid)
					require.NoError(t, err)
				}
				return run()
			}
			err := storage.Apply(t.Context(), testChange(3))
			require.Error(t, err, "statement %d", k)
			require.NotErrorIs(t, err, store.ErrConflict)
			require.Equal(t, k == count-1, strings.Contains(err.Error(), "committing, with unknown outcome; the write may have been stored"), "only an interrupted COMMIT has an unknown outcome")
			s.around = nil
			requireChange(t, 2, mustRead(t, storage, testQuery))
		}
		require.NoError(t, storage.Apply(t.Context(), testChange(3)), "the store still works")
	})

	t.Run("does not retry a commit of unknown outcome", func(t *testing.T) {
		storage, s, _ := spiedPostgres(t)
		failing(s, "COMMIT", true)
		require.ErrorContains(t, storage.Apply(t.Context(), testChange(1)), "committing, with unknown outcome; the write may have been stored: disk on fire")
		s.around = nil
		requireChange(t, 1, mustRead(t, storage, testQuery))
	})

	t.Run("is durable and waits ten seconds for locks", func(t *testing.T) {
		for setting, want := range map[string]string{"off": "on", "local": "local", "remote_write": "remote_write"} {
			dsn := postgrestest.With(postgrestest.Schema(t), "synchronous_commit", setting)
			db, s := openSpied(t, openPostgresDB(t, dsn), dsn)
			storage, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
			require.NoError(t, err)
			for name, write := range map[string]func() error{
				"Apply": func() error { return storage.Apply(t.Context(), testChange(1)) },
				"Touch": func() error {
					return storage.Touch(t.Context(), []store.Usage{{Token: testTokenID(1), Time: testTime(1)}})
				},
			} {
				looked := false
				s.around = func(ctx context.Context, query string, run func() error) error {
					if query == "COMMIT" {
						looked = true
						for name, want := range map[string]string{
							"synchronous_commit": want, "lock_timeout": "10s", "idle_in_transaction_session_timeout": "10s", "transaction_isolation": "read committed",
						} {
							var got string
							require.NoError(t, s.last.Conn.(*stdlib.Conn).Conn().QueryRow(ctx, "SHOW "+name).Scan(&got))
							require.Equal(t, want, got, "%s with the default synchronous_commit = %s", name, setting)
						}
					}
					return run()
				}
				require.NoError(t, write())
				require.True(t, looked, name)
			}
			s.around = nil
			var after string
			require.NoError(t, db.QueryRowContext(t.Context(), "SHOW synchronous_commit").Scan(&after))
			require.Equal(t, setting, after, "the setting of the connection is restored")
		}
	})

	t.Run("can be canceled while it waits for a lock", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		name := "satchel " + dsn[len(dsn)-10:len(dsn)-1]
		storage := openPostgres(t, postgrestest.With(dsn, "application_name", name))
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		other := openPostgresDB(t, dsn)
		holder, err := other.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = holder.ExecContext(t.Context(), "UPDATE satchel_changes SET newest = newest")
		require.NoError(t, err)

		waiting := func() (count int) {
			require.NoError(t, other.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'", name).Scan(&count))
			return count
		}
		for what, write := range map[string]func(context.Context) error{
			"Apply": func(ctx context.Context) error { return storage.Apply(ctx, testChange(2)) },
			"Touch": func(ctx context.Context) error {
				return storage.Touch(ctx, []store.Usage{{Token: testTokenID(1), Time: testTime(1)}})
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			answer := make(chan error, 1)
			go func() { answer <- write(ctx) }()
			require.Eventually(t, func() bool { return waiting() == 1 }, 8*time.Second, time.Millisecond, "%s waits for the earlier writer", what)
			cancel()
			select {
			case err := <-answer:
				require.ErrorIs(t, err, context.Canceled)
			case <-time.After(8 * time.Second):
				t.Fatal("the write is still waiting")
			}
			require.Eventually(t, func() bool { return waiting() == 0 }, 8*time.Second, time.Millisecond, "the server stops waiting")
		}
		require.NoError(t, holder.Rollback())
		require.NoError(t, storage.Apply(t.Context(), testChange(2)), "the store still works")
		requireChange(t, 2, mustRead(t, storage, testQuery))
	})

	t.Run("does not wait for a writer when it reads", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		storage := openPostgres(t, dsn)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		holder, err := openPostgresDB(t, dsn).BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = holder.ExecContext(t.Context(), "UPDATE satchel_changes SET newest = 7; UPDATE satchel_seals SET seal = ''; DELETE FROM satchel_tokens")
		require.NoError(t, err)
		requireChange(t, 1, mustRead(t, storage, testQuery))
		newest, _, err := storage.Changes(t.Context(), 0)
		require.NoError(t, err)
		require.EqualValues(t, 1, newest)
		require.NoError(t, holder.Rollback())
	})

	t.Run("does not deadlock between uses and writes", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		change := testChange(1)
		for i := range 50 {
			row, token := testSecret(1), testToken(1000+i)
			row.Name = fmt.Sprint("NAME_", i)
			change.Insert, change.Issue = append(change.Insert, row), append(change.Issue, token)
		}
		require.NoError(t, openPostgres(t, dsn).Apply(t.Context(), change))

		// Each process touches and writes the same rows in another order.
		var failures atomic.Int64
		var wg sync.WaitGroup
		for process := range 4 {
			db, s := openSpied(t, openPostgresDB(t, dsn), dsn)
			storage, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
			require.NoError(t, err)
			s.around = func(_ context.Context, _ string, run func() error) error {
				err := run()
				if err != nil {
					failures.Add(1)
				}
				return err
			}
			random := rand.New(rand.NewPCG(1, uint64(process)))
			wg.Go(func() {
				for round := range 10 {
					var uses []store.Usage
					change := &store.Change{}
					for _, i := range random.Perm(50) {
						name := fmt.Sprint("NAME_", i)
						uses = append(uses, store.Usage{Token: testTokenID(1000 + i), Time: testTime(round)}, store.Usage{Time: testTime(round), Scope: testScope, Name: name})
						change.Activate = append(change.Activate, store.VersionRef{Scope: testScope, Name: name, Version: 1})
						change.Revoke = append(change.Revoke, store.RevokedRow{ID: testTokenID(1000 + i), Revoked: testTime(round)})
					}
					if errors.Join(storage.Touch(t.Context(), uses), storage.Apply(t.Context(), change)) != nil {
						failures.Add(1)
					}
				}
			})
		}
		wg.Wait()
		require.Zero(t, failures.Load(), "a deadlock blocks all writers for a second")
	})
}

func TestPostgres_Errors(t *testing.T) {
	dsn := postgrestest.Schema(t)
	storage := openPostgres(t, dsn)
	require.NoError(t, storage.Apply(t.Context(), testChange(1)))
	require.EqualError(t, storage.Apply(t.Context(), testChange(1)), "inserting into data_keys: conflicting change")

	const canary = "canary-4711"
	for column, change := range map[string]*store.Change{
		"label": {Issue: []store.TokenRow{{ID: "t1", Label: canary + "\x00"}}},
		"name":  {Insert: []store.SecretRow{{Scope: "acme", Name: canary + "\xff"}}},
	} {
		err := storage.Apply(t.Context(), change)
		require.ErrorContains(t, err, "inserting into ", column)
		require.NotContains(t, err.Error(), canary)
	}
	for table, column := range map[string]string{"tokens": "created", "secrets": "mac", "audit": "seq"} {
		dsn := postgrestest.Schema(t)
		storage, db := openPostgres(t, dsn), openPostgresDB(t, dsn)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		runPostgres(t, db, fmt.Sprintf("ALTER TABLE satchel_%s ALTER %s TYPE TEXT USING '%s'", table, column, canary))
		_, err := openPostgres(t, dsn).Read(t.Context(), testQuery)
		require.ErrorContains(t, err, "reading "+table)
		require.ErrorContains(t, err, column)
		require.NotContains(t, err.Error(), canary)
		runPostgres(t, db, fmt.Sprintf("DROP TABLE satchel_%s", table))
		_, err = openPostgres(t, dsn).Read(t.Context(), testQuery)
		require.ErrorContains(t, err, "reading "+table)
	}
}

func TestPostgres_Poll(t *testing.T) {
	storage, s, db := spiedPostgres(t)
	requireFewStatements(t, storage, s)
	ctx := t.Context()

	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	defer conn.Close()
	// The tables are small, so sequential scans and sorts must be discouraged: if the
	// server still uses them, an index is missing.
	_, err = conn.ExecContext(ctx, "SET enable_seqscan = off; SET enable_sort = off; SET enable_incremental_sort = off; SET enable_hashjoin = off; SET enable_bitmapscan = off")
	require.NoError(t, err)
	var plans []error
	s.around = func(_ context.Context, query string, run func() error) error {
		if !strings.Contains(query, "satchel_") || strings.HasPrefix(query, "INSERT") {
			return run()
		}
		var args []any
		for _, arg := range s.args {
			args = append(args, arg.Value)
		}
		rows, err := conn.QueryContext(ctx, "EXPLAIN "+query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			if strings.Contains(line, "Seq Scan") && !strings.Contains(line, "satchel_changes") || strings.Contains(line, "Sort") {
				plans = append(plans, fmt.Errorf("%s\nfor %s", line, query))
			}
		}
		return errors.Join(rows.Err(), run())
	}
	everyStatement(t, storage, 6)
	s.around = nil
	require.Empty(t, plans, "the database scans a table, or sorts")
}
