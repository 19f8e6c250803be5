package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// spoiled is a store whose audit rows are edited when they are read.
type spoiled struct {
	store.Store
	row  func(*store.AuditRow) (keep bool)
	head func(*store.AuditRow)
}

func (s *spoiled) Audit(ctx context.Context, tenant string, after int64, limit int) ([]store.AuditRow, error) {
	rows, err := s.Store.Audit(ctx, tenant, after, math.MaxInt)
	if s.row != nil {
		rows = slices.DeleteFunc(rows, func(r store.AuditRow) bool { return !s.row(&r) })
		for i := range rows {
			s.row(&rows[i])
		}
	}
	return rows[:min(len(rows), limit)], err
}

func (s *spoiled) Read(ctx context.Context, q store.Query) (*store.Snapshot, error) {
	snap, err := s.Store.Read(ctx, q)
	if err == nil && s.head != nil && snap.AuditHead != nil {
		s.head(snap.AuditHead)
	}
	return snap, err
}

// spoil replaces the store of c by one with edited rows.
func (c *chains) spoil() *spoiled {
	s := &spoiled{Store: c.store}
	c.Log = audit.NewLog(s, &audit.Options{Logger: slog.New(slog.DiscardHandler)})
	return s
}

// without removes the entries up to a number.
func without(through int64) func(*store.AuditRow) bool {
	return func(r *store.AuditRow) bool { return r.Seq > through }
}

// forging removes the entries before number seq and changes the name in that entry.
func forging(seq int64) func(*store.AuditRow) bool {
	return func(r *store.AuditRow) bool {
		if r.Seq == seq {
			r.Entry = bytes.Replace(r.Entry, []byte(`"name":"`), []byte(`"name":"FORGED_`), 1)
		}
		return r.Seq >= seq
	}
}

// unverified returns the numbers of all entries of a page that starts with the newest,
// and of those that are not verified.
func (c *chains) page(t *testing.T, newest int64, limit int) (all, unverified []int64) {
	t.Helper()
	records, err := c.Page(t.Context(), "acme", c.find, newest, limit)
	require.NoError(t, err)
	for _, r := range records {
		all = append(all, r.Seq)
		if r.Unverified {
			unverified = append(unverified, r.Seq)
		}
	}
	return all, unverified
}

func TestLog_PageUnverified(t *testing.T) {
	t.Run("marks the entry after entries that no trim dropped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, false)
			c.append(t, "acme", "A", "B", "C", "D", "E", "F")
			s := c.spoil()
			for _, s.row = range []func(*store.AuditRow) bool{without(3), forging(4)} {
				for limit := 3; limit < 8; limit++ {
					all, unverified := c.page(t, 6, limit)
					require.Equal(t, []int64{6, 5, 4}, all)
					require.Equal(t, []int64{4}, unverified, "in a page of %d", limit)
				}
				_, unverified := c.page(t, 6, 2)
				require.Empty(t, unverified, "the entry before the page is there")
				all, unverified := c.page(t, 4, 1)
				require.Equal(t, []int64{4}, all)
				require.Equal(t, []int64{4}, unverified)
				_, err := c.Verify(t.Context(), "acme", c.find, nil, func(int64, audit.Entry) error {
					t.Error("an entry is passed on that is not verified")
					return nil
				})
				require.ErrorIs(t, err, keyring.ErrTampered)
			}
		})
	})

	t.Run("verifies the entry after a trim", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, later := range []int{0, 1, 497, 498, 499, 500, 501, 1003} {
				c := newChains(t, false)
				c.append(t, "acme", "A", "B", "C")
				time.Sleep(time.Hour)
				border := time.Now()
				c.append(t, "acme", "D", "E")
				dropped, err := c.Trim(t.Context(), "acme", border, "ada", c.find, c.open)
				require.NoError(t, err)
				require.EqualValues(t, 3, dropped)
				for i := range later {
					c.append(t, "acme", fmt.Sprint(i))
				}
				newest := int64(6 + later)
				all, unverified := c.page(t, newest, 10_000)
				require.Len(t, all, later+3)
				require.Empty(t, unverified, "with %d entries after the trim", later)
				s := c.spoil()

				s.row = forging(4)
				_, err = c.Page(t.Context(), "acme", c.find, 4, 1)
				require.ErrorIs(t, err, keyring.ErrTampered, "the trim proves another entry")
				_, err = c.Verify(t.Context(), "acme", c.find, nil, func(int64, audit.Entry) error {
					t.Error("an entry is passed on that is not verified")
					return nil
				})
				require.ErrorIs(t, err, keyring.ErrTampered)

				s.row = without(4) // one more than the trim dropped
				_, unverified = c.page(t, newest, 10_000)
				require.Equal(t, []int64{5}, unverified)

				s.row = func(r *store.AuditRow) bool { // the trim is made to fit
					if r.Seq == 6 {
						r.Entry = bytes.Replace(r.Entry, []byte(`"through":3`), []byte(`"through":4`), 1)
					}
					return r.Seq > 4
				}
				_, err = c.Page(t.Context(), "acme", c.find, 5, 1)
				require.ErrorIs(t, err, keyring.ErrTampered)
			}
		})
	})

	t.Run("verifies a trim that dropped all entries before it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChains(t, false)
			c.append(t, "acme", "A", "B")
			_, err := c.Trim(t.Context(), "acme", time.Now().Add(time.Hour), "ada", c.find, c.open)
			require.NoError(t, err)
			all, unverified := c.page(t, 3, 10)
			require.Equal(t, []int64{3}, all)
			require.Empty(t, unverified)
			s := c.spoil()
			s.row = func(r *store.AuditRow) bool {
				r.Entry = bytes.Replace(r.Entry, []byte("ada"), []byte("eve"), 1)
				return true
			}
			_, err = c.Page(t.Context(), "acme", c.find, 3, 10)
			require.ErrorIs(t, err, keyring.ErrTampered)
		})
	})
}

func TestLog_VerifyDuringTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		for i := range 700 { // more than are read at once
			c.append(t, "acme", fmt.Sprint(i))
		}
		time.Sleep(time.Hour)
		border := time.Now()
		c.append(t, "acme", "LAST")
		var visited []int64
		_, err := c.Verify(t.Context(), "acme", c.find, nil, func(seq int64, _ audit.Entry) error {
			visited = append(visited, seq)
			if seq == 500 {
				_, err := c.Trim(t.Context(), "acme", border, "ada", c.find, c.open)
				require.NoError(t, err)
			}
			return nil
		})
		require.NoError(t, err, "a trim during the verification is no tampering")
		require.Equal(t, []int64{500, 701, 702}, visited[499:])
	})
}

func TestLog_Rows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		for i := range 600 {
			c.append(t, "acme", fmt.Sprint(i))
		}
		rows := func(meanwhile func()) (out []store.AuditRow, failed error) {
			for row, err := range c.Rows(t.Context(), "acme", c.find) {
				if failed = err; err == nil {
					out = append(out, row)
				}
				if len(out) == 500 && meanwhile != nil {
					meanwhile()
					meanwhile = nil
				}
			}
			return out, failed
		}
		all, err := rows(nil)
		require.NoError(t, err)
		require.Len(t, all, 600)
		require.NoError(t, audit.Check(t.Context(), "acme", c.find, all))
		require.ErrorIs(t, audit.Check(t.Context(), "acme", c.find, slices.Delete(slices.Clone(all), 9, 10)), keyring.ErrTampered)
		some, err := rows(func() {
			_, err := c.Trim(t.Context(), "acme", time.Now().Add(time.Hour), "ada", c.find, c.open)
			require.NoError(t, err)
		})
		require.ErrorIs(t, err, store.ErrConflict, "a trim meanwhile is no tampering")
		require.Len(t, some, 500)
		s := c.spoil()
		s.row = func(r *store.AuditRow) bool {
			r.Entry = bytes.Replace(r.Entry, []byte("ada"), []byte("eve"), 1)
			return true
		}
		none, err := rows(nil)
		require.ErrorIs(t, err, keyring.ErrTampered)
		require.Empty(t, none)
	})
}

func TestLog_Numbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChains(t, false)
		c.append(t, "acme", "A", "B")
		s := c.spoil()
		for _, seq := range []int64{math.MinInt64, -1, 0, 1 << 53, math.MaxInt64} {
			s.head = func(r *store.AuditRow) { r.Seq = seq }
			require.ErrorIs(t, c.Append(t.Context(), "acme", c.open, entryOf("C")), keyring.ErrTampered, "a head with number %d", seq)
			_, err := audit.Chain(c.key, "acme", &store.AuditRow{Seq: seq}, entryOf("C"))
			require.ErrorIs(t, err, keyring.ErrTampered)
			require.ErrorIs(t, audit.Check(t.Context(), "acme", c.find, []store.AuditRow{{Seq: seq, KeyID: c.key.ID()}}), keyring.ErrTampered)
			if seq > 0 {
				_, err = c.Page(t.Context(), "acme", c.find, seq, math.MaxInt)
				require.ErrorIs(t, err, keyring.ErrTampered)
			}
			s.head = nil
			s.row = func(r *store.AuditRow) bool { r.Seq = seq; return true }
			_, err = c.Verify(t.Context(), "acme", c.find, nil, nil)
			require.ErrorIs(t, err, keyring.ErrTampered, "an entry with number %d", seq)
			s.row = nil
		}
		_, err := c.Page(t.Context(), "acme", c.find, 2, math.MaxInt)
		require.NoError(t, err)
	})
}
