package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// chains is a log with its store, its sink and the data key of all tenants.
type chains struct {
	*audit.Log
	store  *slowStore
	key    *keyring.DataKey
	opened atomic.Int64
	sink   *keeper
	out    bytes.Buffer // output of the logger
}

// slowStore is a store in which each change takes a second.
type slowStore struct {
	store.Store
	applies atomic.Int64
	fail    atomic.Pointer[error]
}

func (s *slowStore) Apply(ctx context.Context, c *store.Change) error {
	s.applies.Add(1)
	time.Sleep(time.Second)
	if err := s.fail.Load(); err != nil {
		return *err
	}
	return s.Store.Apply(ctx, c)
}

// keeper is a sink in memory.
type keeper struct {
	mu      sync.Mutex
	entries []audit.Entry
	err     error
}

func (k *keeper) Record(_ context.Context, _ string, e audit.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.entries = append(k.entries, e)
	}
	return k.err
}

func newChains(t *testing.T, bestEffort bool) *chains {
	t.Helper()
	keys, err := keyring.New(keyringtest.NewFake("kek"), nil)
	require.NoError(t, err)
	c := &chains{store: &slowStore{Store: memstore.New()}, sink: &keeper{}}
	c.key, _, err = keys.NewKey(t.Context(), keyring.Context{"tenant": "acme"})
	require.NoError(t, err)
	c.Log = audit.NewLog(c.store, &audit.Options{
		Sinks: []audit.Sink{c.sink}, BestEffort: bestEffort, Logger: slog.New(slog.NewTextHandler(&c.out, nil)),
	})
	return c
}

func (c *chains) find(_ context.Context, id [16]byte) (*keyring.DataKey, error) {
	if id != c.key.ID() {
		return nil, keyring.ErrTampered
	}
	return c.key, nil
}

func (c *chains) open(context.Context) (*keyring.DataKey, error) {
	c.opened.Add(1)
	return c.key.Clone()
}

// append appends entries with these names, one by one.
func (c *chains) append(t *testing.T, tenant string, names ...string) {
	t.Helper()
	for _, name := range names {
		require.NoError(t, c.Append(t.Context(), tenant, c.open, entryOf(name)))
	}
}

// names returns the names of a tenant's verified entries.
func (c *chains) names(t *testing.T, tenant string) (out []string, head audit.Head) {
	t.Helper()
	head, err := c.Verify(t.Context(), tenant, c.find, nil, func(seq int64, e audit.Entry) error {
		require.EqualValues(t, len(out)+1, seq)
		out = append(out, e.Name)
		return nil
	})
	require.NoError(t, err)
	return out, head
}

func TestEntry_JSON(t *testing.T) {
	e := audit.Entry{
		Time: time.Date(2026, 3, 1, 12, 0, 0, 1000, time.UTC), Action: audit.Refuse, Actor: "ada", Scope: "acme/web", Name: "A", Version: 2,
		Token: "0aB3dE6gH9jK", Runner: "ci-7", Addr: "192.0.2.1", Reason: "expired", Delivered: []string{"acme/A@1"}, Through: 3, Head: "ab",
	}
	text, err := json.Marshal(audit.Record{Seq: 7, Entry: e})
	require.NoError(t, err)
	require.Equal(t, `{"seq":7,"time":"2026-03-01T12:00:00.000001Z","action":"bootstrap.refuse","actor":"ada","scope":"acme/web","name":"A","version":2,`+
		`"token":"0aB3dE6gH9jK","runner":"ci-7","addr":"192.0.2.1","reason":"expired","delivered":["acme/A@1"],"through":3,"head":"ab"}`, string(text))
}

func TestLog_Append(t *testing.T) {
	t.Run("chains and stores entries and passes them to the sinks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, false)
			c.append(t, "acme", "A", "B")
			c.append(t, "globex", "C")
			names, head := c.names(t, "acme")
			require.Equal(t, []string{"A", "B"}, names)
			require.EqualValues(t, 2, head.Seq)
			names, _ = c.names(t, "globex")
			require.Equal(t, []string{"C"}, names)
			require.Len(t, c.sink.entries, 3, "the sink gets each entry")

			failure := errors.New("the disk is full")
			c.store.fail.Store(&failure)
			err := c.Append(t.Context(), "acme", c.open, entryOf("LOST"))
			require.ErrorIs(t, err, audit.ErrNotRecorded)
			require.ErrorIs(t, err, failure)
			require.Contains(t, c.out.String(), "cannot append to the audit chain")
		})
	})

	t.Run("batches concurrent entries of a tenant", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, false)
			began := time.Now()
			var callers sync.WaitGroup
			for i := range 200 {
				callers.Go(func() {
					if err := c.Append(t.Context(), fmt.Sprintf("tenant-%d", i%2), c.open, entryOf(fmt.Sprint(i))); err != nil {
						t.Error(err)
					}
				})
			}
			callers.Wait()
			require.Equal(t, 2*time.Second, time.Since(began), "each tenant has two writes, for the first entry and for all others; tenants do not wait for each other")
			require.EqualValues(t, 4, c.store.applies.Load())
			require.EqualValues(t, 4, c.opened.Load(), "each batch opens one key")
			for _, tenant := range []string{"tenant-0", "tenant-1"} {
				names, _ := c.names(t, tenant)
				require.Len(t, names, 100)
			}
		})
	})

	t.Run("releases its memory once entries are stored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, false)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			var callers sync.WaitGroup
			for i := range 100 {
				callers.Go(func() { _ = c.Append(ctx, fmt.Sprintf("tenant-%d", i), c.open, entryOf("A")) })
				callers.Go(func() { _ = c.Append(t.Context(), fmt.Sprintf("tenant-%d", i), c.open, entryOf("B")) })
			}
			callers.Wait()
			synctest.Wait()
			require.Zero(t, audit.Pending(c.Log), "a tenant takes memory only while it has entries to append")
		})
	})

	t.Run("finishes a batch that has begun when its context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, false)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			require.ErrorIs(t, c.Append(ctx, "acme", c.open, entryOf("A")), context.DeadlineExceeded)
			time.Sleep(time.Second)
			names, _ := c.names(t, "acme")
			require.Equal(t, []string{"A"}, names, "its batch had begun")
		})
	})
}

func TestLog_Tell(t *testing.T) {
	down := errors.New("the collector is down")
	for _, bestEffort := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, bestEffort)
			require.NoError(t, c.Tell(t.Context(), "acme", entryOf("A"), entryOf("B")))
			require.Len(t, c.sink.entries, 2)
			c.sink.err = down
			told, appended := c.Tell(t.Context(), "acme", entryOf("C")), c.Append(t.Context(), "acme", c.open, entryOf("D"))
			names, _ := c.names(t, "acme")
			if bestEffort {
				require.NoError(t, told)
				require.NoError(t, appended)
				require.Equal(t, 2, strings.Count(c.out.String(), "audit sink failed"))
				require.Equal(t, []string{"D"}, names)
				return
			}
			for _, err := range []error{told, appended} {
				require.ErrorIs(t, err, audit.ErrNotRecorded)
				require.ErrorIs(t, err, down)
			}
			require.Empty(t, names, "an entry that the sink refuses is not appended")
		})
	}
}

func TestChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		rows, err := audit.Chain(c.key, "acme", nil, entryOf("A"), entryOf("B"))
		require.NoError(t, err)
		require.NoError(t, c.store.Apply(t.Context(), &store.Change{Append: rows}))
		c.append(t, "acme", "C")
		rows, err = c.store.Audit(t.Context(), "acme", 2, 1)
		require.NoError(t, err)
		rows, err = audit.Chain(c.key, "acme", &rows[0], entryOf("D"))
		require.NoError(t, err)
		require.NoError(t, c.store.Apply(t.Context(), &store.Change{Append: rows}))
		names, _ := c.names(t, "acme")
		require.Equal(t, []string{"A", "B", "C", "D"}, names, "rows stored with a change and rows appended by the log form one chain")
	})
}

func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		c.append(t, "acme", "A", "B", "C")
		rows, err := c.store.Audit(t.Context(), "acme", 0, 10)
		require.NoError(t, err)
		require.NoError(t, audit.Check(t.Context(), "acme", c.find, rows))
		require.NoError(t, audit.Check(t.Context(), "acme", c.find, nil), "a tenant without entries")
		require.ErrorIs(t, audit.Check(t.Context(), "globex", c.find, rows), keyring.ErrTampered, "the chain of another tenant")
		require.ErrorIs(t, audit.Check(t.Context(), "acme", c.find, rows[1:]), keyring.ErrTampered, "the first entry is missing")
		rows[1].Entry = rows[0].Entry
		require.ErrorIs(t, audit.Check(t.Context(), "acme", c.find, rows), keyring.ErrTampered, "an entry was edited")
	})
}

func TestLog_Verify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		head, err := c.Verify(t.Context(), "acme", c.find, nil, nil)
		require.NoError(t, err)
		require.Zero(t, head)
		c.append(t, "acme", "A", "B")
		_, early := c.names(t, "acme")
		c.append(t, "acme", "C")
		late, err := c.Verify(t.Context(), "acme", c.find, &early, nil)
		require.NoError(t, err)
		require.EqualValues(t, 3, late.Seq)
		early.MAC[0] ^= 1
		_, err = c.Verify(t.Context(), "acme", c.find, &early, nil)
		require.ErrorIs(t, err, keyring.ErrTampered, "the chain has another entry with that number")
		late.Seq++
		_, err = c.Verify(t.Context(), "acme", c.find, &late, nil)
		require.ErrorIs(t, err, keyring.ErrTampered, "the end was cut off")
		stop := errors.New("stop")
		_, err = c.Verify(t.Context(), "acme", c.find, nil, func(int64, audit.Entry) error { return stop })
		require.ErrorIs(t, err, stop)
	})
}

func TestLog_Page(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		c.append(t, "acme", "A", "B", "C", "D", "E")
		page := func(newest int64, limit int) (names []string) {
			records, err := c.Page(t.Context(), "acme", c.find, newest, limit)
			require.NoError(t, err)
			for i, r := range records {
				require.Equal(t, newest-int64(i), r.Seq)
				names = append(names, r.Name)
			}
			return names
		}
		require.Equal(t, []string{"E", "D"}, page(5, 2), "the newest entry comes first")
		require.Equal(t, []string{"C", "B", "A"}, page(3, 100))
		require.Empty(t, page(0, 1))
		_, err := c.Page(t.Context(), "acme", c.find, 6, 2)
		require.ErrorIs(t, err, keyring.ErrTampered, "there is no entry 6")
	})
}

func TestLog_Trim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		c.append(t, "acme", "A", "B")
		_, early := c.names(t, "acme")
		time.Sleep(time.Hour)
		border := time.Now()
		c.append(t, "acme", "C")
		dropped, err := c.Trim(t.Context(), "acme", border, "ada", c.find, c.open)
		require.NoError(t, err)
		require.EqualValues(t, 2, dropped)
		var left []audit.Entry
		_, err = c.Verify(t.Context(), "acme", c.find, &early, func(_ int64, e audit.Entry) error {
			left = append(left, e)
			return nil
		})
		require.NoError(t, err, "the rest can be verified, also with a head from before the trim")
		require.Len(t, left, 2)
		require.Equal(t, "C", left[0].Name)
		require.Equal(t, audit.Trim, left[1].Action)
		require.Equal(t, "ada", left[1].Actor)
		require.EqualValues(t, 2, left[1].Through)

		dropped, err = c.Trim(t.Context(), "acme", border, "ada", c.find, c.open)
		require.NoError(t, err)
		require.Zero(t, dropped)

		other := audit.NewLog(trimmed{c.store}, nil)
		_, err = other.Trim(t.Context(), "acme", time.Now().Add(time.Hour), "ada", c.find, c.open)
		require.ErrorIs(t, err, store.ErrConflict)
	})
}

func TestLog_Turn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		release, err := c.Turn(t.Context(), "acme")
		require.NoError(t, err)
		var appended, second atomic.Bool
		var callers sync.WaitGroup
		callers.Go(func() {
			if err := c.Append(t.Context(), "acme", c.open, entryOf("A")); err != nil {
				t.Error(err)
			}
			appended.Store(true)
		})
		synctest.Wait()
		var earlier int64
		callers.Go(func() {
			release, err := c.Turn(t.Context(), "acme")
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			second.Store(true)
			earlier = c.store.applies.Load()
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Turn(ctx, "acme")
		require.ErrorIs(t, err, context.DeadlineExceeded, "a caller whose context ends stops waiting")
		require.False(t, appended.Load() || second.Load(), "a turn lasts until its release")
		c.append(t, "globex", "B")
		require.EqualValues(t, 1, c.store.applies.Load(), "tenants do not wait for each other")
		release()
		callers.Wait()
		require.EqualValues(t, 2, earlier, "callers take turns in the order of their calls")
		synctest.Wait()
		require.Zero(t, audit.Pending(c.Log), "a tenant takes memory only while a caller waits for its turn")

		release, err = c.Turn(t.Context(), "acme")
		require.NoError(t, err)
		defer release()
		began := time.Now()
		require.ErrorIs(t, c.Append(t.Context(), "acme", c.open, entryOf("C")), audit.ErrNotRecorded, "an entry does not wait forever")
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

// trimmed is a store from which another process drops entries after they are read.
type trimmed struct{ store.Store }

func (s trimmed) Audit(ctx context.Context, tenant string, after int64, limit int) ([]store.AuditRow, error) {
	if limit == 1 {
		return nil, nil
	}
	return s.Store.Audit(ctx, tenant, after, limit)
}
