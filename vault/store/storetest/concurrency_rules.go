package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/store"
)

// faultsOf collects the faults that the goroutines of a rule find.
type faultsOf struct {
	mu   sync.Mutex
	list []string
}

func (f *faultsOf) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) < 10 {
		f.list = append(f.list, fmt.Sprintf(format, args...))
	}
}

// steps is how many changes a rule with concurrent readers makes.
const steps = 40

// Rules about reading and writing at the same time.
var concurrencyRules = []contractRule{
	{"a read shows all or nothing of every change", func(c *checker) {
		// The n-th change writes n into every row, so all rows of a snapshot
		// must have the same n.
		step := func(n int) *store.Change {
			change := &store.Change{
				Keys:   []store.KeyChange{{Tenant: "acme", New: keyRecord("acme", "first", n)}},
				Seals:  []store.SealChange{{Scope: "acme/web", New: sealOf("acme/web", n)}},
				Insert: []store.SecretRow{secretRow("acme/web", "NAME", int64(n))},
				Prune:  []store.VersionRef{{Scope: "acme/web", Name: "NAME", Version: int64(n - 1)}},
				Issue:  []store.TokenRow{tokenRow("acme/web", fmt.Sprintf("t%03d", n))},
				Mint:   []store.MintChange{mintChange("acme", "github", n-1, n), mintChange("acme/web", "github", n-1, n)},
				Docs:   []store.DocChange{{Old: int64(n - 1), New: sealedDoc("acme", "sealed", "key", int64(n))}, {Old: int64(n - 1), New: sealedDoc("acme/web", "sealed", "key", int64(n))}},
				Append: []store.AuditRow{entryOf("acme", int64(n))},
			}
			if n > 1 {
				change.Keys[0].Old = keyRecord("acme", "first", n-1)
				change.Seals[0].Old = sealOf("acme/web", n-1)
				change.Revoke = []store.RevokedRow{revokedRow(fmt.Sprintf("t%03d", n-1))}
			}
			return change
		}
		c.apply(*step(1))

		var f faultsOf
		var done atomic.Bool
		read := make(chan struct{}, 1) // receives after a read
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				last := 0
				for finished := false; !finished; {
					finished = done.Load()
					for _, q := range []store.Query{
						{Scope: "acme/web", Name: "NAME", Tokens: true, History: true, Minted: true, AuditHead: true},
						{Scope: "acme/web", Tokens: true, SealsOnly: true, AuditHead: true},
						{Token: "t001", Name: "NAME"},
						{Token: "t001", SealsOnly: true, Minted: true},
					} {
						n, fault := tornAt(c.s.Read(c.Context(), q))
						if n < last && fault == "" {
							fault = fmt.Sprintf("an earlier read showed change %d", last)
						}
						if fault != "" {
							f.add("a concurrent read shows the seal of change %d, but %s", n, fault)
						}
						last = n
						select {
						case read <- struct{}{}:
						default:
						}
					}
				}
			})
		}
		for n := 2; n <= steps; n++ {
			<-read // so that reads and writes overlap
			if err := c.s.Apply(c.Context(), step(n)); err != nil {
				f.add("writing concurrently with readers: %v", err)
				break
			}
		}
		done.Store(true)
		wg.Wait()
		require.Empty(c, f.list)
	}},
	{"of writers with the same expectation, one wins", func(c *checker) {
		const writers = 6
		c.apply(store.Change{Seals: []store.SealChange{{Scope: "acme", New: sealOf("acme", 0)}}})
		seal := sealOf("acme", 0)
		for round := range 10 {
			winner := c.race(writers, func(i int) *store.Change {
				tenant := fmt.Sprintf("tenant%d", round)
				return &store.Change{
					Keys:   []store.KeyChange{{Tenant: tenant, New: keyRecord(tenant, fmt.Sprint(i), 1), First: true}},
					Seals:  []store.SealChange{{Scope: "acme", Old: seal, New: sealOf("acme", 1+round*writers+i)}},
					Insert: []store.SecretRow{secretRow("acme", fmt.Sprintf("BY_%d", i), int64(round+1))},
				}
			})
			seal = sealOf("acme", 1+round*writers+winner)
			snap := c.read(store.Query{Scope: fmt.Sprintf("tenant%d", round)})
			require.Len(c, snap.Keys, 1, "a tenant has one first key")
			require.EqualValues(c, keyRecord(fmt.Sprintf("tenant%d", round), fmt.Sprint(winner), 1), snap.Keys[0], "the key is the winner's")
			require.Equal(c, seal, c.last(store.Query{Scope: "acme"}).Seal, "the seal is the winner's")
			for i := range writers {
				last := c.read(store.Query{Scope: "acme", Name: fmt.Sprintf("BY_%d", i)}).Last
				require.Equal(c, i == winner, last == int64(round+1), "only the winner's rows are stored")
			}
		}
	}},
	{"of concurrent mints or appends, one wins", func(c *checker) {
		const writers = 6
		minted := 0
		for round := range 10 {
			winner := c.race(writers, func(i int) *store.Change {
				return &store.Change{Mint: []store.MintChange{mintChange("acme", "github", minted, 1+round*writers+i)}}
			})
			minted = 1 + round*writers + winner
			c.checkMinted("acme", []store.MintedRow{mintedRow("acme", "github", minted)}, "the minted row is the winner's")

			winner = c.race(writers, func(i int) *store.Change {
				row := entryOf("acme", int64(round+1))
				row.Entry = fmt.Append(nil, i)
				return &store.Change{Append: []store.AuditRow{row, entryOf(fmt.Sprintf("tenant%d-%d", round, i), 1)}}
			})
			chain := c.audit("acme", 0, 1000)
			require.Len(c, chain, round+1, "each number is used once")
			require.Equal(c, fmt.Sprint(winner), string(chain[round].Entry), "the entry is the winner's")
			for i := range writers {
				other := c.audit(fmt.Sprintf("tenant%d-%d", round, i), 0, 10)
				require.Equal(c, i == winner, len(other) == 1, "the other chain has only the winner's entry")
			}
		}
	}},
	{"no write is lost among writers that retry", func(c *checker) {
		const writers, each = 4, 12
		c.apply(store.Change{Seals: []store.SealChange{{Scope: "acme", New: sealOf("acme", 0)}}})
		var f faultsOf
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for done := 0; done < each; {
					snap, err := c.s.Read(c.Context(), store.Query{Scope: "acme", Name: "NAME"})
					if err != nil {
						f.add("reading: %v", err)
						return
					}
					n := sealNumber(snap.Path[0].Seal)
					err = c.s.Apply(c.Context(), &store.Change{
						Seals:  []store.SealChange{{Scope: "acme", Old: snap.Path[0].Seal, New: sealOf("acme", n+1)}},
						Insert: []store.SecretRow{secretRow("acme", "NAME", snap.Last+1)},
					})
					if err == nil {
						done++
					} else if !errors.Is(err, store.ErrConflict) {
						f.add("writing: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
		require.Empty(c, f.list)
		snap := c.read(store.Query{Scope: "acme", Name: "NAME"})
		require.Equal(c, writers*each, sealNumber(snap.Path[0].Seal), "each write that succeeded counts")
		require.Len(c, snap.Versions, writers*each, "each write that succeeded left its version")
	}},
	{"an audit chain with concurrent writers has no gap and loses no entry", func(c *checker) {
		const writers, each = 4, 12
		var f faultsOf
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for done := 0; done < each; {
					snap, err := c.s.Read(c.Context(), store.Query{Scope: "acme", SealsOnly: true, AuditHead: true})
					if err != nil {
						f.add("reading: %v", err)
						return
					}
					row := entryOf("acme", 1)
					if snap.AuditHead != nil {
						row.Seq = snap.AuditHead.Seq + 1
					}
					row.Entry = fmt.Appendf(nil, "%d-%d", w, done)
					err = c.s.Apply(c.Context(), &store.Change{Append: []store.AuditRow{row}})
					if err == nil {
						done++
					} else if !errors.Is(err, store.ErrConflict) {
						f.add("appending: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
		require.Empty(c, f.list)
		next := [writers]int{} // of each writer, in its own order
		chain := c.audit("acme", 0, 1000)
		require.Len(c, chain, writers*each, "each appended entry is stored once")
		for i, row := range chain {
			require.EqualValues(c, i+1, row.Seq, "numbers have no gap")
			var w, done int
			_, err := fmt.Sscanf(string(row.Entry), "%d-%d", &w, &done)
			require.NoError(c, err)
			require.Equal(c, next[w], done, "the entries of one writer are in order")
			next[w]++
		}
	}},
	{"nothing becomes visible at or below a number that Changes has returned", func(c *checker) {
		// Each write is to a different scope, so a scope is returned by the one
		// call after its write, or never.
		const writers = 4
		var f faultsOf
		var polls, writing atomic.Int32
		writing.Store(writers)
		var written [writers][]string
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				defer writing.Add(-1)
				for n := 1; n <= steps/4 || polls.Load() < steps && n < 100*steps; n++ {
					scope := fmt.Sprintf("acme/w%d-%d", w, n)
					if err := c.s.Apply(c.Context(), &store.Change{Seals: []store.SealChange{{Scope: scope, New: sealOf(scope, 1)}}}); err != nil {
						f.add("writing: %v", err)
						return
					}
					written[w] = append(written[w], scope)
				}
			})
		}
		var since int64
		named := map[string]bool{}
		for finished := false; !finished; polls.Add(1) {
			finished = writing.Load() == 0
			newest, scopes, err := c.s.Changes(c.Context(), since)
			if err != nil {
				f.add("reading the changes: %v", err)
				break
			}
			if newest < since {
				f.add("the newest number went from %d to %d", since, newest)
			}
			since = newest
			for _, scope := range scopes {
				named[scope] = true
			}
		}
		polls.Store(steps)
		wg.Wait()
		require.Empty(c, f.list)
		for _, scope := range slices.Concat(written[:]...) {
			require.True(c, named[scope], "no call of Changes returned %s: its number was returned before it was visible", scope)
		}
	}},
	{"a canceled write is stored completely or not at all", func(c *checker) {
		stored := 0
		for n := 1; n <= steps/2; n++ {
			change := &store.Change{
				Seals:  []store.SealChange{{Scope: "acme", New: sealOf("acme", n)}},
				Insert: []store.SecretRow{secretRow("acme", "NAME", int64(n))},
				Issue:  []store.TokenRow{tokenRow("acme", fmt.Sprintf("t%03d", n))},
			}
			if stored > 0 {
				change.Seals[0].Old = sealOf("acme", stored)
			}
			ctx, cancel := context.WithCancel(c.Context())
			var wg sync.WaitGroup
			wg.Go(cancel)
			err := c.s.Apply(ctx, change)
			wg.Wait()
			if err == nil {
				stored = n
			} else {
				require.ErrorIs(c, err, context.Canceled, "the change has no other fault")
			}
			snap := c.read(store.Query{Scope: "acme", Name: "NAME", Tokens: true})
			require.Equal(c, stored, sealNumber(snap.Path[0].Seal), "an error means that nothing was written, and nil that everything was")
			require.Equal(c, err == nil, snap.Last == int64(n), "the version is stored if and only if the seal is")
			require.Equal(c, err == nil, c.read(store.Query{Token: fmt.Sprintf("t%03d", n)}).Token != nil, "the token is stored if and only if the seal is")
		}
		c.apply(fillScope("acme/web", "after"))
	}},
}

// race applies the changes of several writers at the same time. It requires
// that one succeeds and the others meet a conflict, and returns which one did.
func (c *checker) race(writers int, change func(i int) *store.Change) int {
	c.Helper()
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { errs[i] = c.s.Apply(c.Context(), change(i)) })
	}
	wg.Wait()
	winner := slices.Index(errs, nil)
	require.GreaterOrEqual(c, winner, 0, "no writer succeeded: %v", errs)
	for i, err := range errs {
		if i != winner {
			require.ErrorIs(c, err, store.ErrConflict, "the expectation can hold for one writer only")
		}
	}
	return winner
}

// tornAt returns the number in the seal of a snapshot, and a description of the first
// other row with a different number.
func tornAt(snap *store.Snapshot, err error) (n int, fault string) {
	if err != nil {
		return 0, err.Error()
	}
	if len(snap.Path) != 2 {
		return 0, "the path is incomplete"
	}
	st := snap.Path[1]
	n = sealNumber(st.Seal)
	if snap.Token != nil && snap.Token.Revoked.IsZero() != (n == 1) {
		return n, "the revocation of the token is of another change"
	}
	if len(snap.Tokens) > 0 && len(snap.Tokens) != n {
		return n, fmt.Sprintf("there are %d tokens", len(snap.Tokens))
	}
	for _, st := range snap.Path {
		if len(st.Minted) > 0 && st.Minted[0].Identity != mintedRow(st.Scope, "github", n).Identity {
			return n, "the minted row of " + st.Scope + " is of another change"
		}
	}
	if snap.AuditHead != nil && snap.AuditHead.Seq != int64(n) {
		return n, fmt.Sprintf("the newest audit entry is number %d", snap.AuditHead.Seq)
	}
	for _, h := range snap.History {
		if h.Last != int64(n) || h.Active != int64(n) || len(h.Versions) != min(n, 2) {
			return n, fmt.Sprintf("the history goes up to version %d", h.Last)
		}
	}
	if len(snap.Keys) == 0 {
		return n, "" // a read of seals only
	}
	if !bytes.Equal(snap.Keys[0], keyRecord("acme", "first", n)) {
		return n, "the key record is of another change"
	}
	if len(st.Secrets) != 1 || st.Secrets[0].Version != int64(n) {
		return n, "the active version is of another change"
	}
	for _, st := range snap.Path {
		if len(st.Docs) != 1 || st.Docs[0].Version != int64(n) {
			return n, "the document of " + st.Scope + " is of another change"
		}
	}
	if len(st.Revoked) != n-1 {
		return n, fmt.Sprintf("%d tokens are revoked", len(st.Revoked))
	}
	if snap.Last != int64(n) || len(snap.Versions) != min(n, 2) || snap.Versions[len(snap.Versions)-1].Version != int64(n) {
		return n, fmt.Sprintf("the newest of %d versions is %d", len(snap.Versions), snap.Last)
	}
	return n, ""
}
