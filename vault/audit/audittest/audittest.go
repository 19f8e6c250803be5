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

// Record is what an audit sink kept of one call of Record.
type Record struct {
	Tenant string
	Entry  audit.Entry
}

// Run checks that what open returns keeps the contract of
// [audit.Sink]. It runs one subtest for each rule, named by the rule, and
// each on its own: open returns an empty sink every time, and uses t.Cleanup to
// close it. recorded returns what is kept of all calls so far, in the order in
// which it is kept, read from where the sink puts it.
func Run(t *testing.T, open func(t *testing.T) (sink audit.Sink, recorded func() ([]Record, error))) {
	for _, rule := range allRules {
		t.Run(rule.name, func(t *testing.T) {
			sink, recorded := open(t)
			rule.check(&checker{T: t, sink: sink, recorded: recorded})
		})
	}
}

// contractRule is one sentence of the contract. check runs on an empty sink.
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

// record records an entry, which must succeed.
func (c *checker) record(tenant string, e audit.Entry) {
	c.Helper()
	require.NoError(c, c.sink.Record(c.Context(), tenant, e), "recording an entry")
}

// kept fails the test unless the sink kept just these records, in order.
func (c *checker) kept(why string, want ...Record) {
	c.Helper()
	got, err := c.recorded()
	require.NoError(c, err, "reading what was recorded")
	require.Len(c, got, len(want), why)
	for i := range want {
		require.True(c, want[i].Entry.Time.Equal(got[i].Entry.Time), "%s: the time of entry %d is %s, and was %s", why, i, got[i].Entry.Time, want[i].Entry.Time)
		got[i].Entry.Time = want[i].Entry.Time // another zone is the same time
		require.Equal(c, want[i], got[i], "%s: entry %d", why, i)
	}
}

// fullEntry returns an entry that uses every field.
func fullEntry(n int) audit.Entry {
	return audit.Entry{
		Time:   time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Microsecond),
		Action: audit.Deliver, Actor: "ada@example.com", Scope: "acme/web", Name: fmt.Sprintf("NAME_%d", n), Version: int64(n) + 1,
		Token: "0aB3dE6gH9jK", Runner: "ci-7", Addr: "192.0.2.1", Reason: "expired",
		Delivered: []string{"acme/A@1", "acme/web/B@2"}, Through: 1 << 40, Head: strings.Repeat("ab", 32),
	}
}

var allRules = []contractRule{
	{"an entry is kept when Record returns", func(c *checker) {
		for n := range 3 {
			c.record("acme", fullEntry(n))
			got, err := c.recorded()
			require.NoError(c, err, "reading what was recorded")
			require.Len(c, got, n+1, "Record returned before its entry was kept")
		}
	}},
	{"an entry is kept as it was", func(c *checker) {
		c.record("acme", fullEntry(0))
		c.kept("every field", Record{"acme", fullEntry(0)})
	}},
	{"what is empty stays empty", func(c *checker) {
		e := audit.Entry{Time: fullEntry(0).Time, Action: audit.Put}
		c.record("acme", e)
		c.kept("an entry of two fields", Record{"acme", e})
	}},
	{"text is kept as it was", func(c *checker) {
		e := fullEntry(0)
		e.Actor, e.Runner, e.Addr = `quotes "'`+"`"+` and \ back \n slashes`, "é 😀 \u2028 \u202e <&> %s {}", "a=b c=\"d\""
		c.record("acme", e)
		c.kept("text with everything that is special somewhere", Record{"acme", e})
	}},
	{"entries keep their order and their tenants", func(c *checker) {
		var want []Record
		for n := range 50 {
			want = append(want, Record{fmt.Sprintf("tenant-%d", n%3), fullEntry(n)})
			c.record(want[n].Tenant, want[n].Entry)
		}
		c.kept("one after the other", want...)
	}},
	{"entries that come together are kept whole, each once", func(c *checker) {
		const writers, each = 8, 25
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for n := range each {
					if err := c.sink.Record(c.Context(), fmt.Sprintf("tenant-%d", w), fullEntry(n)); err != nil {
						c.Errorf("recording an entry beside others: %v", err)
					}
				}
			})
		}
		group.Wait()
		got, err := c.recorded()
		require.NoError(c, err, "reading what was recorded")
		for w := range writers {
			tenant := fmt.Sprintf("tenant-%d", w)
			own := slices.DeleteFunc(slices.Clone(got), func(r Record) bool { return r.Tenant != tenant })
			require.Len(c, own, each, "%s has each of its entries once", tenant)
			for n, r := range own {
				require.Equal(c, fullEntry(n).Name, r.Entry.Name, "%s has its entries in order", tenant)
				require.Equal(c, fullEntry(n).Delivered, r.Entry.Delivered, "%s has its entries whole", tenant)
			}
		}
		require.Len(c, got, writers*each, "nothing else is kept")
	}},
	{"the caller keeps what it gave", func(c *checker) {
		e := fullEntry(0)
		c.record("acme", e)
		e.Delivered[0] = "changed"
		c.kept("an entry that was changed after it was recorded", Record{"acme", fullEntry(0)})
	}},
	{"a context that is over is an error", func(c *checker) {
		ctx, cancel := context.WithCancel(c.Context())
		cancel()
		require.ErrorIs(c, c.sink.Record(ctx, "acme", fullEntry(0)), context.Canceled, "nobody waits for this entry")
		c.record("acme", fullEntry(1))
	}},
}
