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
	applied func() // called after each change; may be nil
}

func (s *slowStore) Apply(ctx context.Context, c *store.Change) error {
	s.applies.Add(1)
	time.Sleep(time.Second)
	if err := s.fail.Load(); err != nil {
		return *err
	}
	if s.applied != nil {
		defer s.applied()
	}
	return s.Store.Apply(ctx, c)
}

// keeper is a sink in memory.
type keeper struct {
	mu      sync.Mutex
	entries []audit.Record
	err     error
	hangs   atomic.Bool // until the context ends
	check   error
}

func (k *keeper) Record(ctx context.Context, _ string, entries []audit.Record) error {
	if k.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.entries = append(k.entries, entries...)
	}
	return k.err
}

func (k *keeper) Check(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.check
}

// set makes Record and Check fail with err, or work again if err is nil.
func (k *keeper) set(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.check = err, err
}

// names returns the names of the recorded entries.
func (k *keeper) names() (out []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.entries {
		out = append(out, e.Name)
	}
	return out
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
			require.Equal(t, []string{"A", "B", "C"}, c.sink.names(), "the sink gets each entry")
			require.EqualValues(t, 2, c.sink.entries[1].Seq)

			failure := errors.New("the disk is full")
			c.store.fail.Store(&failure)
			err := c.Append(t.Context(), "acme", c.open, entryOf("LOST"))
			require.ErrorIs(t, err, audit.ErrNotRecorded)
			require.ErrorIs(t, err, failure)
			require.Contains(t, c.out.String(), "cannot append to the audit chain")
			require.Len(t, c.sink.names(), 3, "an entry that is not stored is not sent")
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

func TestLog_SinkFailure(t *testing.T) {
	down := errors.New("the collector is down")

	t.Run("stores the entry and sends it before the next one is stored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, false)
			c.append(t, "acme", "A")
			c.sink.set(down)
			err := c.Append(t.Context(), "acme", c.open, entryOf("B"))
			require.ErrorIs(t, err, audit.ErrNotRecorded)
			require.ErrorIs(t, err, down)
			require.ErrorContains(t, err, "although it is in the chain")
			for _, tenant := range []string{"acme", "globex"} {
				err = c.Append(t.Context(), tenant, c.open, entryOf("REFUSED"))
				require.ErrorIs(t, err, audit.ErrNotRecorded)
				require.ErrorIs(t, err, down)
				require.ErrorContains(t, err, "has not recorded earlier entries yet")
			}
			_, err = c.Trim(t.Context(), "acme", time.Now().Add(time.Hour), "ada", c.find, c.open)
			require.ErrorIs(t, err, audit.ErrNotRecorded)
			names, _ := c.names(t, "acme")
			require.Equal(t, []string{"A", "B"}, names, "while the sink is behind, nothing is stored")
			names, _ = c.names(t, "globex")
			require.Empty(t, names, "for no tenant")

			c.sink.set(nil)
			c.append(t, "globex", "C")
			c.append(t, "acme", "D")
			require.Equal(t, []string{"A", "B", "C", "D"}, c.sink.names())
			require.Contains(t, c.out.String(), "audit sinks have all entries again")
		})
	})

	t.Run("does not send it again to a sink that has it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, false)
			other := &keeper{}
			c.Log = audit.NewLog(c.store, &audit.Options{Sinks: []audit.Sink{c.sink, other}, Logger: slog.New(slog.DiscardHandler)})
			c.sink.set(down)
			require.ErrorIs(t, c.Append(t.Context(), "acme", c.open, entryOf("A")), down)
			require.Equal(t, []string{"A"}, other.names(), "a sink that works gets the entry at once")
			c.sink.set(nil)
			c.append(t, "acme", "B")
			require.Equal(t, []string{"A", "B"}, other.names())
			require.Equal(t, []string{"A", "B"}, c.sink.names())
		})
	})

	t.Run("does not wait for a sink longer than ten seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, false)
			c.sink.hangs.Store(true)
			began := time.Now()
			require.ErrorIs(t, c.Append(t.Context(), "acme", c.open, entryOf("A")), audit.ErrNotRecorded)
			require.Equal(t, 11*time.Second, time.Since(began), "the store takes one")
		})
	})

	t.Run("logs the failure and drops the entry with best effort", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, true)
			c.sink.set(down)
			c.append(t, "acme", "A", "B")
			require.NoError(t, c.Check(t.Context()))
			require.Equal(t, 2, strings.Count(c.out.String(), "audit sink failed"))
			c.sink.set(nil)
			c.append(t, "acme", "C")
			names, _ := c.names(t, "acme")
			require.Equal(t, []string{"A", "B", "C"}, names)
			require.Equal(t, []string{"C"}, c.sink.names())
		})
	})
}

// doubtful is a store that fails after it has stored a change, or before, and then
// cannot be read for a while.
type doubtful struct {
	store.Store
	before, after, down bool
}

var errLost = errors.New("the connection was lost")

func (s *doubtful) Apply(ctx context.Context, c *store.Change) error {
	if s.before {
		return errLost
	}
	err := s.Store.Apply(ctx, c)
	if s.after {
		err = errLost
	}
	return err
}

func (s *doubtful) Audit(ctx context.Context, tenant string, after int64, limit int) ([]store.AuditRow, error) {
	if s.down {
		return nil, errLost
	}
	return s.Store.Audit(ctx, tenant, after, limit)
}

func TestLog_StorageFailure(t *testing.T) {
	c := newChains(t, false)
	s := &doubtful{Store: memstore.New()}
	c.Log = audit.NewLog(s, &audit.Options{Sinks: []audit.Sink{c.sink}, Logger: slog.New(slog.DiscardHandler)})
	c.append(t, "acme", "A")
	s.after = true
	require.ErrorIs(t, c.Append(t.Context(), "acme", c.open, entryOf("B")), errLost)
	s.after, s.before = false, true
	require.ErrorIs(t, c.Append(t.Context(), "acme", c.open, entryOf("LOST")), errLost)
	require.Equal(t, []string{"A", "B"}, c.sink.names(), "the sink gets an entry that was stored although storage failed")
	s.before, s.down = false, true
	require.ErrorIs(t, c.Append(t.Context(), "acme", c.open, entryOf("LOST")), errLost, "nothing is stored while that is not known")
	s.down = false
	c.append(t, "acme", "C")
	require.Equal(t, []string{"A", "B", "C"}, c.sink.names(), "and no entry that was not stored")
}

func TestLog_Commit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		ctx, cancel := context.WithCancel(t.Context())
		commit := func(head *store.AuditRow, names ...string) (bool, error) {
			release, err := c.Turn(t.Context(), "acme")
			require.NoError(t, err)
			defer release()
			var entries []audit.Entry
			for _, name := range names {
				entries = append(entries, entryOf(name))
			}
			return c.Commit(ctx, c.key, "acme", head, &store.Change{}, entries...)
		}
		stored, err := commit(nil, "A", "B")
		require.NoError(t, err)
		require.True(t, stored)
		stored, err = commit(nil, "CONFLICT")
		require.ErrorIs(t, err, store.ErrConflict)
		require.False(t, stored)
		rows, err := c.store.Audit(t.Context(), "acme", 1, 1)
		require.NoError(t, err)

		c.sink.set(errors.New("down"))
		stored, err = commit(&rows[0], "C")
		require.ErrorIs(t, err, audit.ErrNotRecorded)
		require.True(t, stored)
		stored, err = commit(&rows[0], "REFUSED")
		require.ErrorIs(t, err, audit.ErrNotRecorded)
		require.False(t, stored)
		c.sink.set(nil)
		require.NoError(t, c.CatchUp(ctx))

		rows, err = c.store.Audit(t.Context(), "acme", 2, 1)
		require.NoError(t, err)
		c.store.applied = cancel
		stored, err = commit(&rows[0], "D")
		require.NoError(t, err, "the sinks get an entry that is stored")
		require.True(t, stored)
		require.Equal(t, []string{"A", "B", "C", "D"}, c.sink.names(), "each stored entry once")
	})
}

func TestLog_CatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		require.NoError(t, c.CatchUp(t.Context()))
		c.sink.hangs.Store(true)
		var callers sync.WaitGroup
		for i := range 20 {
			callers.Go(func() { _ = c.Append(t.Context(), fmt.Sprintf("tenant-%d", i), c.open, entryOf("A")) })
		}
		callers.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, c.CatchUp(ctx), context.DeadlineExceeded, "a caller whose context ends stops waiting")
		began := time.Now()
		for range 20 {
			callers.Go(func() {
				if err := c.CatchUp(t.Context()); !errors.Is(err, audit.ErrNotRecorded) {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		require.LessOrEqual(t, time.Since(began), 10*time.Second, "concurrent callers share one attempt")
		c.sink.hangs.Store(false)
		require.NoError(t, c.CatchUp(t.Context()))
		require.Len(t, c.sink.names(), 20)
	})
}

func TestLog_Check(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("the collector is down")
		c := newChains(t, false)
		require.NoError(t, c.Check(t.Context()))
		c.sink.set(down)
		err := c.Check(t.Context())
		require.ErrorIs(t, err, audit.ErrNotRecorded)
		require.ErrorIs(t, err, down, "the sink's own check fails")
		require.ErrorIs(t, c.Append(t.Context(), "acme", c.open, entryOf("A")), down)
		c.sink.check = nil
		require.ErrorIs(t, c.Check(t.Context()), down, "it has not recorded an entry")
		c.sink.set(nil)
		require.NoError(t, c.Check(t.Context()))
		require.Equal(t, []string{"A"}, c.sink.names(), "a check sends missed entries")
	})
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
