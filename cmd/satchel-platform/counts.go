package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
)

// counts are the events since the last log line. A program with a metrics library uses
// its counters instead.
type counts struct {
	delivered, unchanged, refused, gone, failed, limited, written atomic.Int64
}

// observer returns an observer that counts.
func (c *counts) observer() vault.Observer {
	outcomes := map[vault.Outcome]*atomic.Int64{
		vault.OutcomeDelivered: &c.delivered, vault.OutcomeUnchanged: &c.unchanged, vault.OutcomeRefused: &c.refused,
		vault.OutcomeGone: &c.gone, vault.OutcomeFailed: &c.failed,
	}
	return vault.Observer{
		Bootstrapped: func(outcome vault.Outcome, _ time.Duration) {
			if n := outcomes[outcome]; n != nil {
				n.Add(1)
			}
		},
		Written: func(audit.Action) { c.written.Add(1) },
	}
}

// log logs and resets the counts, unless all are 0. interval is the time since the last
// call.
func (c *counts) log(ctx context.Context, log *slog.Logger, interval time.Duration) {
	var attrs []slog.Attr
	for _, count := range []struct {
		name string
		n    *atomic.Int64
	}{
		{"delivered", &c.delivered}, {"unchanged", &c.unchanged}, {"refused", &c.refused}, {"gone", &c.gone},
		{"failed", &c.failed}, {"limited", &c.limited}, {"written", &c.written},
	} {
		if n := count.n.Swap(0); n > 0 {
			attrs = append(attrs, slog.Int64(count.name, n))
		}
	}
	if attrs != nil {
		attrs = append(attrs, slog.Duration("interval", interval.Round(time.Millisecond)))
		log.LogAttrs(ctx, slog.LevelInfo, "activity", attrs...)
	}
}
