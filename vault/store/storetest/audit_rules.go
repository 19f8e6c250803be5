package storetest

import (
	"math"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/store"
)

// chain requires that a tenant's audit chain has the entries from one number to
// another, read by Audit and by Read.
func (c *checker) chain(tenant string, from, to int64, why string) {
	c.Helper()
	want := auditRow(entriesOf(tenant, from, to)...)
	require.Equal(c, want, auditRow(c.audit(tenant, 0, 1000)...), why)
	var head *store.AuditRow
	if to > 0 {
		head = &entriesOf(tenant, to, to)[0]
	}
	got := c.read(store.Query{Scope: tenant, AuditHead: true})
	c.same(&store.Snapshot{Path: got.Path, Keys: got.Keys, AuditHead: head}, got, why)
}

// Rules about audit chains.
var auditRules = []contractRule{
	{"audit entries are returned as they were stored", func(c *checker) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		rows := entriesOf("acme", 1, 3)
		rows[0].Entry = bytesOf(70_000, "long entry")
		rows[1].Entry, rows[1].KeyID, rows[1].MAC = every, [16]byte{}, [32]byte{31: 0xff}
		rows[2].Entry = nil
		c.apply(store.Change{Append: rows})
		require.Equal(c, auditRow(rows...), auditRow(c.audit("acme", 0, 10)...))
	}},
	{"an audit chain can be read from any number", func(c *checker) {
		for seq := int64(1); seq <= 12; seq += 3 {
			c.apply(store.Change{Append: append(entriesOf("acme", seq, seq+2), entryOf("acme_2", (seq+2)/3))})
		}
		for _, q := range []struct {
			after    int64
			limit    int
			from, to int64
		}{
			{0, 1000, 1, 12}, {0, 12, 1, 12}, {0, 5, 1, 5}, {0, 1, 1, 1}, {5, 3, 6, 8}, {5, 1000, 6, 12}, {8, 4, 9, 12}, {11, 10, 12, 12},
			{-1, 2, 1, 2}, {math.MinInt64, 2, 1, 2}, {12, 10, 1, 0}, {13, 10, 1, 0}, {math.MaxInt64, 10, 1, 0}, {0, 0, 1, 0},
		} {
			require.Equal(c, auditRow(entriesOf("acme", q.from, q.to)...), auditRow(c.audit("acme", q.after, q.limit)...),
				"the entries after %d, at most %d", q.after, q.limit)
		}
		c.chain("acme", 1, 12, "entries are in numerical order, 9 before 10")
		c.chain("acme_2", 1, 4, "another tenant has a separate chain")
		c.chain("acme-2", 1, 0, "a tenant with a similar name has no chain")
	}},
	{"the newest audit entry is returned on request", func(c *checker) {
		c.apply(fillScope("acme/web", "t1"))
		token := tokenRow("acme/web", "t1")
		want := &store.Snapshot{Token: &token, Path: []store.ScopeState{{Scope: "acme"}, {Scope: "acme/web", Seal: sealOf("acme/web", 1)}}}
		q := store.Query{Token: "t1", SealsOnly: true, AuditHead: true}
		c.apply(store.Change{Append: entriesOf("other", 1, 3)})
		c.same(want, c.read(q), "an empty chain has no newest entry, even if other tenants have entries")
		for seq := int64(1); seq <= 11; seq++ {
			c.apply(store.Change{Append: entriesOf("acme", seq, seq)})
			want.AuditHead = &entriesOf("acme", seq, seq)[0]
			c.same(want, c.read(q), "the newest entry is that of the tenant of the token's scope")
		}
		c.same(&store.Snapshot{}, c.read(store.Query{Token: "t2", Scope: "acme", AuditHead: true}), "a missing token reveals nothing")
		q.AuditHead, want.AuditHead = false, nil
		c.same(want, c.read(q), "nothing without the request")
	}},
	{"an entry is appended only after the newest of its chain", func(c *checker) {
		entries := func(seqs ...int64) store.Change {
			var change store.Change
			for _, seq := range seqs {
				change.Append = append(change.Append, entryOf("acme", seq))
			}
			return change
		}
		for _, seq := range []int64{0, 2, -1, math.MinInt64, math.MaxInt64} {
			c.refuse(entries(seq), "an empty chain begins with number 1")
		}
		c.refuse(entries(2, 1), "an empty chain begins with number 1")
		c.chain("acme", 1, 0, "nothing was appended")
		c.apply(entries(1))
		for _, seq := range []int64{1, 0, 3, -1, 100} {
			c.refuse(entries(seq), "only number 2 follows number 1")
		}
		c.refuse(entries(2, 4), "there is a gap within the change")
		c.refuse(entries(2, 3, 3), "a number is used once")
		c.chain("acme", 1, 1, "nothing was appended")
		c.apply(entries(2, 3, 4))
		c.apply(store.Change{Append: []store.AuditRow{entryOf("other", 1), entryOf("acme", 5), entryOf("other", 2), entryOf("acme", 6)}})
		c.chain("acme", 1, 6, "entries of several chains may be mixed")
		c.chain("other", 1, 2, "entries of several chains may be mixed")
		c.refuse(store.Change{Append: []store.AuditRow{entryOf("acme", 7), entryOf("other", 2)}}, "each chain has its own numbers")
		c.chain("acme", 1, 6, "nothing was appended")

		c.apply(store.Change{Append: entriesOf("acme", 7, 1000)})
		c.chain("acme", 1, 1000, "hundreds of entries fit into one change")
		c.refuse(store.Change{Append: append(entriesOf("acme", 1001, 1500), entryOf("acme", 1502))}, "there is a gap after hundreds of entries")
		c.chain("acme", 1, 1000, "nothing was appended")
	}},
	{"an empty audit chain can start after a number", func(c *checker) {
		start := func(seq int64, rows ...store.AuditRow) store.Change {
			return store.Change{StartAudit: []store.AuditRef{{Tenant: "acme", Seq: seq}}, Append: rows}
		}
		c.refuse(start(7, entryOf("acme", 1)), "the first entry is number 8")
		c.refuse(start(7, entryOf("acme", 8), entryOf("acme", 10)), "only number 9 follows number 8")
		c.refuse(start(7, entryOf("acme", 8), entryOf("other", 8)), "another tenant's chain starts with number 1")
		c.apply(start(7))
		c.refuse(store.Change{Append: entriesOf("acme", 8, 8)}, "StartAudit has no effect on later changes")
		c.apply(start(7, append(entriesOf("acme", 8, 12), entryOf("other", 1))...))
		c.chain("acme", 8, 12, "the chain starts with number 8")
		c.chain("other", 1, 1, "another tenant's chain starts with number 1")
		c.refuse(start(12, entryOf("acme", 13)), "the chain is not empty")
		c.refuse(start(0), "the chain is not empty")
		c.apply(store.Change{Append: entriesOf("acme", 13, 14)})
		c.chain("acme", 8, 14, "the chain continues")
	}},
	{"dropping audit entries never removes the newest one", func(c *checker) {
		drop := func(tenant string, seq int64) store.Change {
			return store.Change{DropAudit: []store.AuditRef{{Tenant: tenant, Seq: seq}}}
		}
		c.apply(drop("acme", 5))
		c.chain("acme", 1, 0, "an empty chain has nothing to drop")
		c.apply(store.Change{Append: append(entriesOf("acme", 1, 10), entriesOf("acme_2", 1, 3)...)})
		c.apply(drop("acme", 0))
		c.apply(drop("acme", -7))
		c.chain("acme", 1, 10, "nothing precedes the first number")
		c.apply(drop("acme", 3))
		c.chain("acme", 4, 10, "entries up to number 3 are removed")
		c.apply(drop("acme", 3))
		c.chain("acme", 4, 10, "dropping the same entries again changes nothing")
		require.Equal(c, auditRow(entriesOf("acme", 4, 6)...), auditRow(c.audit("acme", 0, 3)...), "the chain is read from its new start")
		c.apply(drop("acme", 10))
		c.chain("acme", 10, 10, "the newest entry stays")
		c.apply(drop("acme", math.MaxInt64))
		c.chain("acme", 10, 10, "the newest entry stays")
		c.chain("acme_2", 1, 3, "another tenant's entries stay")
		c.refuse(store.Change{Append: entriesOf("acme", 1, 1)}, "a chain does not start again")
		c.refuse(store.Change{Append: entriesOf("acme", 10, 10)}, "number 10 exists")
		c.apply(store.Change{Append: entriesOf("acme", 11, 12), DropAudit: []store.AuditRef{{Tenant: "acme", Seq: 11}, {Tenant: "acme_2", Seq: 1}}})
		c.chain("acme", 12, 12, "entries appended by the same change count")
		c.chain("acme_2", 2, 3, "one change may shorten several chains")
	}},
}
