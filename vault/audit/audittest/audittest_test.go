package audittest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/suite"
	"github.com/satchelhq/satchel/vault/audit"
)

// heap is a sink in memory. Its fields break it in different ways.
type heap struct {
	mu      sync.Mutex
	records []Record
	spoil   func(h *heap, r Record)
	deaf    bool // ignores contexts
	shares  bool // keeps references to entries
	probes  bool // records something to check itself
}

func (h *heap) Record(ctx context.Context, tenant string, entries []audit.Record) error {
	if err := ctx.Err(); err != nil && !h.deaf {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range entries {
		if !h.shares {
			e.Delivered = slices.Clone(e.Delivered)
		}
		r := Record{tenant, e}
		if h.spoil != nil {
			h.spoil(h, r)
		} else {
			h.records = append(h.records, r)
		}
	}
	return nil
}

func (h *heap) Check(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.probes {
		h.records = append(h.records, Record{})
	}
	return ctx.Err()
}

func (h *heap) recorded() ([]Record, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.records), nil
}

// spoiling returns a sink that changes each record.
func spoiling(change func(r *Record)) *heap {
	return &heap{spoil: func(h *heap, r Record) {
		change(&r)
		h.records = append(h.records, r)
	}}
}

var broken = map[string]func() *heap{
	"records an entry before Record returns": func() *heap {
		var held []Record
		return &heap{spoil: func(h *heap, r Record) { // holds one record back
			h.records = append(h.records, held...)
			held = []Record{r}
		}}
	},
	"records every field": func() *heap { return spoiling(func(r *Record) { r.Head = "" }) },
	"keeps empty fields empty": func() *heap {
		return spoiling(func(r *Record) { r.Delivered = append([]string{}, r.Delivered...) })
	},
	"keeps text unchanged": func() *heap { return spoiling(func(r *Record) { r.Runner = r.Runner[:4] }) },
	"keeps order and tenants": func() *heap {
		return &heap{spoil: func(h *heap, r Record) { h.records = slices.Insert(h.records, 0, r) }}
	},
	"records the entries of one call in order": func() *heap {
		return &heap{spoil: func(h *heap, r Record) {
			if n := len(h.records); n == 2 { // exchanges two of them
				h.records = append(h.records[:1], r, h.records[1])
			} else {
				h.records = append(h.records, r)
			}
		}}
	},
	"records repeated entries": func() *heap {
		last := int64(0)
		return &heap{spoil: func(h *heap, r Record) {
			if last >= 0 && r.Seq > last {
				h.records, last = append(h.records, r), r.Seq
			} else {
				last = -1 // stops at the first repeated entry
			}
		}}
	},
	"records concurrent entries completely and once": func() *heap {
		return &heap{spoil: func(h *heap, r Record) {
			if len(h.records)%7 == 6 { // a duplicate
				h.records = append(h.records, r)
			}
			h.records = append(h.records, r)
		}}
	},
	"keeps no reference to the entry": func() *heap { return &heap{shares: true} },
	"fails if the context has ended":  func() *heap { return &heap{deaf: true} },
	"checks itself without recording": func() *heap { return &heap{probes: true} },
}

func verdict(t *testing.T, rule contractRule, h *heap) []string {
	return suite.Verdict(t.Context(), func(c suite.T) { rule.check(&checker{T: c, sink: h, recorded: h.recorded}) })
}

func TestRun(t *testing.T) {
	t.Run("passes a correct sink", func(t *testing.T) {
		Run(t, func(*testing.T) (audit.Sink, func() ([]Record, error)) {
			h := &heap{}
			return h, h.recorded
		})
	})

	t.Run("fails a sink that breaks a rule", func(t *testing.T) {
		for _, rule := range allRules {
			require.Empty(t, verdict(t, rule, &heap{}), "a correct sink follows the rule %q", rule.name)
			broken := broken[rule.name]
			require.NotNil(t, broken, "there is no broken sink for the rule %q", rule.name)
			require.NotEmpty(t, verdict(t, rule, broken()), "a sink that breaks the rule %q passed it", rule.name)
		}
		require.Len(t, broken, len(allRules), "each broken sink is for an existing rule")
	})
}
