package audittest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/suite"
	"github.com/satchelhq/satchel/vault/audit"
)

// Record is an entry that a sink has recorded.
type Record struct {
	// Tenant is the tenant that was passed to Record.
	Tenant string
	// Record is the entry that was passed to Record, with its number.
	audit.Record
}

// Run tests a sink against the contract of [audit.Sink], with one subtest for each rule.
// It calls open once for each subtest. open returns an empty sink, which it closes with
// t.Cleanup, and a function that reads the entries recorded so far from the sink's
// destination, in the order of that destination.
func Run(t *testing.T, open func(t *testing.T) (sink audit.Sink, recorded func() ([]Record, error))) {
	for _, rule := range allRules {
		t.Run(rule.name, func(t *testing.T) {
			sink, recorded := open(t)
			rule.check(&checker{T: t, sink: sink, recorded: recorded})
		})
	}
}

// contractRule is one rule of the contract. check runs on an empty sink.
type contractRule struct {
	name  string
	check func(*checker)
}

// checker is one run of one rule.
type checker struct {
	suite.T
	sink     audit.Sink
	recorded func() ([]Record, error)
}

// record records entries of one tenant together, which must succeed.
func (c *checker) record(tenant string, entries ...audit.Record) {
	c.Helper()
	require.NoError(c, c.sink.Record(c.Context(), tenant, entries), "recording entries")
}

// kept fails the test unless the sink has exactly these records, in order.
func (c *checker) kept(why string, want ...Record) {
	c.Helper()
	got, err := c.recorded()
	require.NoError(c, err, "reading the recorded entries")
	require.Len(c, got, len(want), why)
	for i := range want {
		require.True(c, want[i].Time.Equal(got[i].Time), "%s: the time of entry %d is %s, want %s", why, i, got[i].Time, want[i].Time)
		got[i].Time = want[i].Time // the zone may differ
		require.Equal(c, want[i], got[i], "%s: entry %d", why, i)
	}
}

// fullEntry returns entry n of a chain, counted from 0, which uses every field.
func fullEntry(n int) audit.Record {
	return audit.Record{Seq: int64(n) + 1, Entry: audit.Entry{
		Time:   time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Microsecond),
		Action: audit.Deliver, Actor: "ada@example.com", Scope: "acme/web", Name: fmt.Sprintf("NAME_%d", n), Version: int64(n) + 1,
		Token: "0aB3dE6gH9jK", Runner: "ci-7", Addr: "192.0.2.1", Reason: "expired",
		Delivered: []string{"acme/A@1", "acme/web/B@2"}, Through: 1 << 40, Head: strings.Repeat("ab", 32),
	}}
}

var allRules = []contractRule{
	{"records an entry before Record returns", func(c *checker) {
		for n := range 3 {
			c.record("acme", fullEntry(n))
			got, err := c.recorded()
			require.NoError(c, err, "reading the recorded entries")
			require.Len(c, got, n+1, "Record returned before its entry was recorded")
		}
	}},
	{"records every field", func(c *checker) {
		c.record("acme", fullEntry(0))
		c.kept("every field", Record{"acme", fullEntry(0)})
	}},
	{"keeps empty fields empty", func(c *checker) {
		e := audit.Record{Seq: 1, Entry: audit.Entry{Time: fullEntry(0).Time, Action: audit.Put}}
		c.record("acme", e)
		c.kept("an entry of two fields", Record{"acme", e})
	}},
	{"keeps text unchanged", func(c *checker) {
		e := fullEntry(0)
		e.Actor, e.Runner, e.Addr = `quotes "'`+"`"+` and \ back \n slashes`, "é 😀 \u2028 \u202e <&> %s {}", "a=b c=\"d\""
		c.record("acme", e)
		c.kept("text with special characters", Record{"acme", e})
	}},
	{"keeps order and tenants", func(c *checker) {
		var want []Record
		for n := range 50 {
			want = append(want, Record{fmt.Sprintf("tenant-%d", n%3), fullEntry(n)})
			c.record(want[n].Tenant, want[n].Record)
		}
		c.kept("sequential entries", want...)
	}},
	{"records the entries of one call in order", func(c *checker) {
		c.record("acme", fullEntry(0), fullEntry(1), fullEntry(2))
		c.record("acme", fullEntry(3))
		c.kept("entries recorded together", Record{"acme", fullEntry(0)}, Record{"acme", fullEntry(1)}, Record{"acme", fullEntry(2)}, Record{"acme", fullEntry(3)})
	}},
	{"records repeated entries", func(c *checker) {
		c.record("acme", fullEntry(0), fullEntry(1))
		c.record("acme", fullEntry(1), fullEntry(2))
		got, err := c.recorded()
		require.NoError(c, err, "reading the recorded entries")
		// Whether a sink keeps a repeated entry once or twice is its own affair.
		got = slices.CompactFunc(got, func(x, y Record) bool { return x.Seq == y.Seq })
		require.Len(c, got, 3, "each entry is there, in order")
		for n, r := range got {
			require.Equal(c, fullEntry(n).Seq, r.Seq, "each entry is there, in order")
		}
	}},
	{"records concurrent entries completely and once", func(c *checker) {
		const writers, each = 8, 25
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for n := range each {
					if err := c.sink.Record(c.Context(), fmt.Sprintf("tenant-%d", w), []audit.Record{fullEntry(n)}); err != nil {
						c.Errorf("recording an entry concurrently: %v", err)
					}
				}
			})
		}
		group.Wait()
		got, err := c.recorded()
		require.NoError(c, err, "reading the recorded entries")
		for w := range writers {
			tenant := fmt.Sprintf("tenant-%d", w)
			own := slices.DeleteFunc(slices.Clone(got), func(r Record) bool { return r.Tenant != tenant })
			require.Len(c, own, each, "%s has each of its entries once", tenant)
			for n, r := range own {
				require.Equal(c, fullEntry(n).Name, r.Name, "%s has its entries in order", tenant)
				require.Equal(c, fullEntry(n).Delivered, r.Delivered, "%s has its entries complete", tenant)
			}
		}
		require.Len(c, got, writers*each, "nothing else is recorded")
	}},
	{"keeps no reference to the entry", func(c *checker) {
		entries := []audit.Record{fullEntry(0)}
		c.record("acme", entries...)
		entries[0].Delivered[0] = "changed"
		entries[0].Name = "CHANGED"
		c.kept("an entry changed by the caller after Record", Record{"acme", fullEntry(0)})
	}},
	{"fails if the context has ended", func(c *checker) {
		ctx, cancel := context.WithCancel(c.Context())
		cancel()
		require.ErrorIs(c, c.sink.Record(ctx, "acme", []audit.Record{fullEntry(0)}), context.Canceled, "the error wraps that of the context")
		c.record("acme", fullEntry(1))
	}},
	{"checks itself without recording", func(c *checker) {
		checker, ok := c.sink.(audit.Checker)
		if !ok {
			return
		}
		c.record("acme", fullEntry(0))
		require.NoError(c, checker.Check(c.Context()), "checking a sink that works")
		c.kept("a check records nothing", Record{"acme", fullEntry(0)})
		ctx, cancel := context.WithCancel(c.Context())
		cancel()
		require.ErrorIs(c, checker.Check(ctx), context.Canceled, "the error wraps that of the context")
	}},
}
