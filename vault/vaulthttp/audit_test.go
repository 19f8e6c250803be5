package vaulthttp_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

type auditJSON struct {
	Tenant  string
	Entries []struct {
		Seq                              int64
		Action, Actor, Scope, Name, Addr string
	}
	Next int64
}

type verifiedJSON struct {
	Tenant, MAC string
	Intact      bool
	Seq         int64
}

// chained is a storage whose audit rows can be modified when they are read.
type chained struct {
	store.Store
	spoil func([]store.AuditRow) []store.AuditRow
}

func (c *chained) Audit(ctx context.Context, tenant string, after int64, limit int) ([]store.AuditRow, error) {
	rows, err := c.Store.Audit(ctx, tenant, after, limit)
	if c.spoil != nil {
		rows = c.spoil(rows)
	}
	return rows, err
}

// newChain returns an administrator of a tenant whose chain has n entries.
func newChain(t *testing.T, n int) (*admin, *chained) {
	t.Helper()
	c := &chained{Store: memstore.New()}
	a := newAdminOver(t, c, nil)
	for i := range n {
		a.MustPut(t, "acme", fmt.Sprintf("S%d", i+1), "x")
	}
	return a, c
}

func TestAudit_Page(t *testing.T) {
	t.Run("returns the chain page by page, newest first", func(t *testing.T) {
		a, _ := newChain(t, 23)
		for _, limit := range []int{1, 5, 22, 23, 24, 500} {
			var seen []int64
			target := fmt.Sprintf("/v1/audit?tenant=acme&limit=%d", limit)
			next := target
			for range 30 {
				page := decode[auditJSON](t, a.do(t, "GET", next, ""), 200)
				require.LessOrEqual(t, len(page.Entries), limit)
				for _, e := range page.Entries {
					require.Equal(t, fmt.Sprintf("S%d", e.Seq), e.Name)
					seen = append(seen, e.Seq)
				}
				if page.Next == 0 {
					break
				}
				next = fmt.Sprintf("%s&before=%d", target, page.Next)
			}
			require.Len(t, seen, 23, "pages of %d have every entry once", limit)
			require.True(t, slices.IsSortedFunc(seen, func(x, y int64) int { return int(y - x) }), "newest first")
		}
		require.Len(t, decode[auditJSON](t, a.do(t, "GET", "/v1/audit?tenant=acme&before=24", ""), 200).Entries, 23)
		require.Len(t, decode[auditJSON](t, a.do(t, "GET", "/v1/audit?tenant=acme&before=9000000000000000", ""), 200).Entries, 23)
		require.JSONEq(t, `{"tenant":"acme","entries":[]}`, string(a.do(t, "GET", "/v1/audit?tenant=acme&before=1", "").body))
		require.JSONEq(t, `{"tenant":"other","entries":[]}`, string(a.do(t, "GET", "/v1/audit?tenant=other", "").body), "the chain of an unknown tenant is empty")
		for _, query := range []string{"limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "before=0", "before=-1", "before=9223372036854775808"} {
			requireRefusal(t, a.do(t, "GET", "/v1/audit?tenant=acme&"+query, ""), 400, query[:5], query)
		}
	})

	t.Run("refuses a chain that was tampered with", func(t *testing.T) {
		for about, spoil := range map[string]func([]store.AuditRow) []store.AuditRow{
			"the oldest edited": func(rows []store.AuditRow) []store.AuditRow {
				for i := range rows {
					if rows[i].Seq == 3 { // of the page of 3 to 8
						rows[i].Entry[20] ^= 1
					}
				}
				return rows
			},
			"edited": func(rows []store.AuditRow) []store.AuditRow { rows[3].Entry[20] ^= 1; return rows },
			"cut out": func(rows []store.AuditRow) []store.AuditRow {
				return slices.DeleteFunc(rows, func(r store.AuditRow) bool { return r.Seq == 5 })
			},
			"cut off":     func(rows []store.AuditRow) []store.AuditRow { return rows[:len(rows)-1] },
			"replaced":    func(rows []store.AuditRow) []store.AuditRow { rows[3].Entry = rows[4].Entry; return rows },
			"another key": func(rows []store.AuditRow) []store.AuditRow { rows[3].KeyID[0] ^= 1; return rows },
			"another MAC": func(rows []store.AuditRow) []store.AuditRow { rows[3].MAC[0] ^= 1; return rows },
		} {
			a, c := newChain(t, 8)
			c.spoil = spoil
			_, err := a.AuditPage(t.Context(), "acme", 0, 6)
			require.ErrorIs(t, err, keyring.ErrTampered, about)
			requireRefusal(t, a.do(t, "GET", "/v1/audit?tenant=acme&limit=6", ""), 500, "Stored data failed its integrity check", about)
		}
	})

	t.Run("marks an entry that nothing proves", func(t *testing.T) {
		a, c := newChain(t, 8)
		c.spoil = func(rows []store.AuditRow) []store.AuditRow {
			rows = slices.DeleteFunc(rows, func(r store.AuditRow) bool { return r.Seq < 4 })
			for i := range rows {
				if rows[i].Seq == 4 {
					rows[i].Entry = []byte(strings.ReplaceAll(string(rows[i].Entry), `"S4"`, `"FORGED"`))
				}
			}
			return rows
		}
		page := string(a.do(t, "GET", "/v1/audit?tenant=acme", "").body)
		require.Contains(t, page, `{"seq":4,"unverified":true,`)
		require.Contains(t, page, `"FORGED"`)
		require.Equal(t, 1, strings.Count(page, "unverified"))
	})

	t.Run("starts after the entries that were trimmed", func(t *testing.T) {
		a, _ := newChain(t, 6)
		dropped, err := a.TrimAudit(t.Context(), "acme", time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.Equal(t, int64(6), dropped)
		a.MustPut(t, "acme", "LATER", "x")
		page := decode[auditJSON](t, a.do(t, "GET", "/v1/audit?tenant=acme", ""), 200)
		require.Equal(t, int64(8), page.Entries[0].Seq)
		require.Equal(t, "audit.trim", page.Entries[1].Action)
		require.Len(t, page.Entries, 2)
		require.JSONEq(t, `{"tenant":"acme","entries":[]}`, string(a.do(t, "GET", fmt.Sprintf("/v1/audit?tenant=acme&before=%d", page.Next), "").body))
	})

	t.Run("refuses parameters out of range", func(t *testing.T) {
		a, _ := newChain(t, 1)
		for _, ask := range []struct {
			tenant string
			before int64
			limit  int
		}{{"acme/web", 0, 1}, {"..", 0, 1}, {"", 0, 1}, {"acme", -1, 1}, {"acme", 0, 0}, {"acme", 0, -1}} {
			_, err := a.AuditPage(t.Context(), ask.tenant, ask.before, ask.limit)
			require.ErrorIs(t, err, vault.ErrInvalid, "%+v", ask)
		}
		records, err := a.AuditPage(t.Context(), "acme", 0, 1<<40)
		require.NoError(t, err)
		require.Len(t, records, 1)
	})
}

func TestAudit_Verify(t *testing.T) {
	a, c := newChain(t, 5)
	const target = "/v1/audit/verify?tenant=acme"
	head := decode[verifiedJSON](t, a.do(t, "POST", target, ""), 200)
	require.True(t, head.Intact)
	require.Equal(t, int64(5), head.Seq)
	require.Len(t, head.MAC, 64)
	since := fmt.Sprintf(`{"since_seq":%d,"since_mac":"%s"}`, head.Seq, head.MAC)
	a.MustPut(t, "acme", "MORE", "x")
	require.Equal(t, int64(6), decode[verifiedJSON](t, a.do(t, "POST", target, since), 200).Seq)

	c.spoil = func(rows []store.AuditRow) []store.AuditRow { return rows[:4] }
	require.Equal(t, int64(4), decode[verifiedJSON](t, a.do(t, "POST", target, ""), 200).Seq, "a truncated chain is intact by itself")
	requireRefusal(t, a.do(t, "POST", target, since), 500, "the chain ends before entry 5", "a head kept elsewhere reveals it")
	c.spoil = func(rows []store.AuditRow) []store.AuditRow { rows[2].Entry[20] ^= 1; return rows }
	requireRefusal(t, a.do(t, "POST", target, ""), 500, "entry 3 was modified", "the response says where")
	require.Contains(t, a.Log.Text(), "audit chain broken")
	c.spoil = nil
	empty := decode[verifiedJSON](t, a.do(t, "POST", "/v1/audit/verify?tenant=other", ""), 200)
	require.Equal(t, verifiedJSON{Tenant: "other", Intact: true, MAC: fmt.Sprintf("%064d", 0)}, empty)
}
