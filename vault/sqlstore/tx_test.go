package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
)

// spied returns a store with a spy, and a second pool over its file.
func spied(t *testing.T) (*sqlstore.Store, *spy, *sql.DB) {
	t.Helper()
	file := newFile(t)
	other := openDB(t, file)
	db, s := openSpied(t, other, file)
	storage, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite)
	require.NoError(t, err)
	return storage, s, other
}

// spiedPostgres is spied for PostgreSQL.
func spiedPostgres(t *testing.T) (*sqlstore.Store, *spy, *sql.DB) {
	t.Helper()
	dsn := postgrestest.Schema(t)
	other := openPostgresDB(t, dsn)
	db, s := openSpied(t, other, dsn)
	storage, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
	require.NoError(t, err)
	return storage, s, other
}

// onEach runs a test on each database.
func onEach(t *testing.T, test func(t *testing.T, spied func(*testing.T) (*sqlstore.Store, *spy, *sql.DB))) {
	t.Run("SQLite", func(t *testing.T) { test(t, spied) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, spiedPostgres) })
}

// requireUnlocked requires that no transaction holds the write lock.
func requireUnlocked(t *testing.T, db *sql.DB) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	try := "PRAGMA busy_timeout = 0; BEGIN IMMEDIATE; ROLLBACK"
	if _, ok := db.Driver().(*stdlib.Driver); ok {
		// The server may notice a closed connection with a delay.
		try = "BEGIN; SET LOCAL lock_timeout = '5s'; LOCK satchel_changes, satchel_tokens, satchel_heads; ROLLBACK"
	}
	_, err = conn.ExecContext(t.Context(), try)
	require.NoError(t, err, "a transaction was left open")
}

// statements returns the statements that do runs.
func statements(s *spy, do func()) (list []string) {
	s.around = func(_ context.Context, query string, run func() error) error {
		list = append(list, query)
		return run()
	}
	do()
	s.around = nil
	return list
}

func TestTx_Canceled(t *testing.T) {
	onEach(t, cancelWrites)
}

func cancelWrites(t *testing.T, spied func(*testing.T) (*sqlstore.Store, *spy, *sql.DB)) {
	storage, s, other := spied(t)
	ctx := t.Context()
	require.NoError(t, storage.Apply(ctx, testChange(1)))
	stored := 1
	count := len(statements(s, func() { require.NoError(t, storage.Apply(ctx, testChange(2))) }))
	stored++
	require.Greater(t, count, 8, "a change has several statements")

	modes := map[string]func(ctx context.Context, cancel func(), run func() error) error{
		"before it": func(_ context.Context, cancel func(), run func() error) error {
			cancel()
			return run()
		},
		"after it": func(_ context.Context, cancel func(), run func() error) error {
			err := run()
			cancel()
			return err
		},
		"during it, with effect": func(ctx context.Context, cancel func(), run func() error) error {
			err := run()
			cancel()
			return errors.Join(err, ctx.Err())
		},
	}
	for mode, interfere := range modes {
		for k := range count {
			ctx, cancel := context.WithCancel(ctx)
			at := 0
			s.around = func(ctx context.Context, _ string, run func() error) error {
				if at++; at == k+1 {
					return interfere(ctx, cancel, run)
				}
				return run()
			}
			err := storage.Apply(ctx, testChange(stored+1))
			s.around = nil
			cancel()
			if err == nil {
				stored++
			} else {
				require.ErrorIs(t, err, context.Canceled, "canceled at statement %d, %s", k, mode)
			}
			requireUnlocked(t, other)
			snap, err := storage.Read(t.Context(), testQuery)
			require.NoError(t, err, "the connection is usable or replaced")
			requireChange(t, stored, snap)
		}
	}
	require.Equal(t, 2+3, stored, "only a write canceled at its COMMIT is stored")
}

func TestTx_CanceledRead(t *testing.T) {
	onEach(t, cancelReads)
}

func cancelReads(t *testing.T, spied func(*testing.T) (*sqlstore.Store, *spy, *sql.DB)) {
	storage, s, _ := spied(t)
	require.NoError(t, storage.Apply(t.Context(), testChange(1)))
	q := store.Query{Token: testTokenID(1), Name: testName, Tokens: true, Below: true, History: true, Minted: true, AuditHead: true}
	list := statements(s, func() {
		_, err := storage.Read(t.Context(), q)
		require.NoError(t, err)
	})
	for k := range list {
		ctx, cancel := context.WithCancel(t.Context())
		at := 0
		s.around = func(_ context.Context, _ string, run func() error) error {
			if at++; at == k+1 {
				cancel()
			}
			return run()
		}
		_, err := storage.Read(ctx, q)
		s.around = nil
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
		// The pool has one connection. An open read transaction would block the next
		// one.
		n := sealNumber(mustRead(t, storage, testQuery).Path[1].Seal)
		require.NoError(t, storage.Apply(t.Context(), testChange(n+1)), "canceled at statement %d", k)
	}
}

func mustRead(t testing.TB, storage *sqlstore.Store, q store.Query) *store.Snapshot {
	t.Helper()
	snap, err := storage.Read(t.Context(), q)
	require.NoError(t, err)
	return snap
}

// is reports whether a statement has text in it, or is COMMIT.
func is(query, text string) bool {
	return query == text || text != "COMMIT" && strings.Contains(query, text)
}

// failing makes each statement that matches text fail, after executing it or
// instead.
func failing(s *spy, text string, carriedOut bool) {
	s.around = func(_ context.Context, query string, run func() error) error {
		if !is(query, text) {
			return run()
		}
		if carriedOut {
			return errors.Join(run(), errors.New("disk on fire"))
		}
		return errors.New("disk on fire")
	}
}

func TestTx(t *testing.T) {
	t.Run("discards a connection that may have an open transaction", func(t *testing.T) {
		for name, fail := range map[string]func(s *spy){
			"its BEGIN failed":    func(s *spy) { failing(s, "BEGIN IMMEDIATE", true) },
			"its ROLLBACK failed": func(s *spy) { failing(s, "ROLLBACK", false) },
		} {
			t.Run(name, func(t *testing.T) {
				storage, s, other := spied(t)
				require.NoError(t, storage.Apply(t.Context(), testChange(1)))
				before := s.closed.Load()
				fail(s)
				require.Error(t, storage.Apply(t.Context(), testChange(1)), "this would be a conflict otherwise")
				require.Equal(t, before+1, s.closed.Load(), "the connection was put back")
				s.around = nil
				requireUnlocked(t, other)
				require.NoError(t, storage.Apply(t.Context(), testChange(2)), "the store uses another connection")
			})
		}
	})

	t.Run("is undone if its commit fails", func(t *testing.T) {
		storage, s, other := spied(t)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		failing(s, "COMMIT", false)
		require.ErrorContains(t, storage.Apply(t.Context(), testChange(2)), "committing: disk on fire")
		s.around = nil
		requireUnlocked(t, other)
		requireChange(t, 1, mustRead(t, storage, testQuery))
	})

	t.Run("ends with a panic", func(t *testing.T) {
		onEach(t, func(t *testing.T, spied func(*testing.T) (*sqlstore.Store, *spy, *sql.DB)) {
			storage, _, other := spied(t)
			require.Panics(t, func() { _ = storage.Apply(t.Context(), nil) }, "a nil change is the caller's bug")
			requireUnlocked(t, other)
			require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		})
	})

	t.Run("is durable and overwrites deleted content", func(t *testing.T) {
		storage, s, _ := spied(t)
		for name, write := range map[string]func() error{
			"Apply": func() error { return storage.Apply(t.Context(), testChange(1)) },
			"Touch": func() error {
				return storage.Touch(t.Context(), []store.Usage{{Token: testTokenID(1), Time: testTime(1)}})
			},
		} {
			list := statements(s, func() { require.NoError(t, write()) })
			for _, setting := range []string{"synchronous = FULL", "secure_delete = ON", "busy_timeout = 10000"} {
				require.Contains(t, list[0], setting, "%s configures each connection it gets", name)
			}
			require.Equal(t, "BEGIN IMMEDIATE", list[1])
			require.Equal(t, "COMMIT", list[len(list)-1])
		}
	})

	t.Run("can be canceled while it waits for the lock", func(t *testing.T) {
		storage, s, other := spied(t)
		holder, err := other.Conn(t.Context())
		require.NoError(t, err)
		defer holder.Close()
		_, err = holder.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		s.around = func(_ context.Context, query string, run func() error) error {
			if query == "BEGIN IMMEDIATE" {
				go cancel() // while it waits
			}
			return run()
		}
		answer := make(chan error, 1)
		go func() { answer <- storage.Apply(ctx, testChange(1)) }()
		select {
		case err := <-answer:
			require.ErrorIs(t, err, context.Canceled)
		case <-time.After(8 * time.Second):
			t.Fatal("the write is still waiting")
		}
		s.around = nil
		_, err = holder.ExecContext(t.Context(), "ROLLBACK")
		require.NoError(t, err)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)), "the store still works")
	})

	t.Run("does not wait for a writer when it reads", func(t *testing.T) {
		file := newFile(t)
		storage := openStore(t, file)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		holder, err := openDB(t, file).Conn(t.Context())
		require.NoError(t, err)
		defer holder.Close()
		_, err = holder.ExecContext(t.Context(), "BEGIN IMMEDIATE; UPDATE seals SET seal = x'00'; DELETE FROM tokens")
		require.NoError(t, err)
		requireChange(t, 1, mustRead(t, storage, testQuery))
		_, err = holder.ExecContext(t.Context(), "ROLLBACK")
		require.NoError(t, err)
	})
}

func TestStore_Errors(t *testing.T) {
	t.Run("name the table and no values", func(t *testing.T) {
		file := newFile(t)
		storage, db := openStore(t, file), openDB(t, file)
		require.NoError(t, storage.Apply(t.Context(), testChange(1)))
		err := storage.Apply(t.Context(), testChange(1))
		require.ErrorIs(t, err, store.ErrConflict)
		require.EqualError(t, err, "inserting into data_keys: conflicting change")

		// A table is rebuilt without types, with text in the columns of numbers and
		// bytes.
		const canary = "canary-4711"
		for table, column := range map[string]string{"tokens": "created", "secrets": "mac"} {
			_, err := db.ExecContext(t.Context(), fmt.Sprintf("ALTER TABLE %s RENAME TO was_%[1]s; CREATE TABLE %[1]s AS SELECT * FROM was_%[1]s; UPDATE %[1]s SET %s = '%s'", table, column, canary))
			require.NoError(t, err)
			_, err = storage.Read(t.Context(), testQuery)
			require.ErrorContains(t, err, "reading "+table)
			require.ErrorContains(t, err, column)
			require.NotContains(t, err.Error(), canary)
			_, err = db.ExecContext(t.Context(), fmt.Sprintf("DROP TABLE %s; ALTER TABLE was_%[1]s RENAME TO %[1]s", table))
			require.NoError(t, err)
		}
	})

	t.Run("refuse bytes of the wrong length", func(t *testing.T) {
		for table, column := range map[string]string{"tokens": "hash", "secrets": "mac"} {
			file := newFile(t)
			storage := openStore(t, file)
			require.NoError(t, storage.Apply(t.Context(), testChange(1)))
			_, err := openDB(t, file).ExecContext(t.Context(), fmt.Sprintf("UPDATE %s SET %s = substr(%[2]s, 1, 31)", table, column))
			require.NoError(t, err)
			_, err = storage.Read(t.Context(), testQuery)
			require.ErrorContains(t, err, "reading "+table)
			require.ErrorContains(t, err, column)
		}
	})
}

// requireFewStatements makes five changes, and fails the test if a poll has more
// statements than necessary.
func requireFewStatements(t *testing.T, storage *sqlstore.Store, s *spy) {
	t.Helper()
	for n := range 5 {
		require.NoError(t, storage.Apply(t.Context(), testChange(n+1)))
	}
	ctx := t.Context()
	poll := statements(s, func() {
		_, err := storage.Read(ctx, store.Query{Token: testTokenID(3), SealsOnly: true})
		require.NoError(t, err)
	})
	require.Len(t, poll, 4, "BEGIN, the token, the seals, COMMIT")
	watch := statements(s, func() {
		_, _, err := storage.Changes(ctx, 5)
		require.NoError(t, err)
	})
	require.Len(t, watch, 3, "BEGIN, the number, COMMIT")
}

func TestStore_Poll(t *testing.T) {
	storage, s, db := spied(t)
	requireFewStatements(t, storage, s)
	ctx := t.Context()

	all := statements(s, func() { everyStatement(t, storage, 6) })
	for _, query := range all {
		if !strings.HasPrefix(query, "SELECT") && !strings.HasPrefix(query, "UPDATE") && !strings.HasPrefix(query, "DELETE") && !strings.HasPrefix(query, "WITH") {
			continue
		}
		args := make([]any, strings.Count(query, "?"))
		rows, err := db.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
		require.NoError(t, err, query)
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			// changes has one row, t is a recursive query, and constants come from the
			// statement.
			if detail != "SCAN changes" && detail != "SCAN t" && detail != "SCAN uses" && detail != "SCAN macs" && !strings.Contains(detail, "CONSTANT ROW") {
				require.NotContains(t, detail, "SCAN", "the database scans a table for %s", query)
				require.NotContains(t, detail, "TEMP B-TREE", "the database sorts for %s", query)
			}
		}
		require.NoError(t, rows.Close())
	}
}

// everyStatement has a store after n-1 changes run each of its statements for rows.
func everyStatement(t *testing.T, storage *sqlstore.Store, n int) {
	t.Helper()
	ctx := t.Context()
	_, err := storage.Read(ctx, store.Query{Token: testTokenID(1), Name: testName, Tokens: true, Below: true, History: true, Minted: true, AuditHead: true})
	require.NoError(t, err)
	_, _, err = storage.Changes(ctx, int64(n-2))
	require.NoError(t, err)
	_, err = storage.Tenants(ctx, "acme", 10)
	require.NoError(t, err)
	_, err = storage.Scopes(ctx, "acme")
	require.NoError(t, err)
	_, err = storage.Docs(ctx, store.DocQuery{Owner: testScope, Space: "loose", After: "a", Limit: 10})
	require.NoError(t, err)
	_, err = storage.Docs(ctx, store.DocQuery{Owner: testScope, Space: "loose", Key: "key"})
	require.NoError(t, err)
	_, err = storage.Audit(ctx, "acme", 1, 10)
	require.NoError(t, err)
	change := testChange(n)
	change.Keys = append(change.Keys, store.KeyChange{Tenant: fmt.Sprint("tenant", n), New: testKey(n), First: true})
	change.Seals = append(change.Seals, store.SealChange{Scope: fmt.Sprint("tenant", n), New: testSeal(n)})
	change.Activate = []store.VersionRef{{Scope: testScope, Name: testName, Version: int64(n)}}
	change.Delete = []store.NameRef{{Scope: testScope, Name: "GONE"}}
	change.Reseal = []store.SecretRow{testSecret(n)}
	change.Remac = []store.TokenRow{testToken(n)}
	change.Mint = append(change.Mint, store.MintChange{New: store.MintedRow{Scope: "none", Integration: "none"}})
	change.DropTokens = []store.TokenRef{{Scope: testScope, ID: testTokenID(1)}}
	change.Docs = append(change.Docs, store.DocChange{New: store.Doc{Owner: "none", Space: "none", Key: "none"}})
	change.ExpireDocs = []store.DocExpiry{{Owner: testScope, Space: "loose", Before: testTime(0)}}
	change.DropAudit = []store.AuditRef{{Tenant: "acme", Seq: 1}}
	require.NoError(t, storage.Apply(ctx, change))
	require.NoError(t, storage.Apply(ctx, &store.Change{
		Mint: []store.MintChange{{Old: testMinted(n).Identity, New: store.MintedRow{Scope: testScope, Integration: "github"}}},
		Docs: []store.DocChange{{Old: int64(n), New: store.Doc{Owner: testScope, Space: "loose", Key: "key"}}},
	}))
	for _, count := range []int{1, 16} {
		var uses []store.Usage
		for i := range count {
			uses = append(uses, store.Usage{Token: testTokenID(i), Time: testTime(1)}, store.Usage{Token: testTokenID(1), Time: testTime(1), Scope: testScope, Name: testName + fmt.Sprint(i)})
		}
		require.NoError(t, storage.Touch(ctx, uses))
	}
	require.NoError(t, storage.Ping(ctx))
}
