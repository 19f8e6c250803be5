package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
)

// counts is what happened since the last line about it. A program with a metrics
// library counts there instead.
type counts struct {
	delivered, unchanged, refused, gone, failed, limited, written atomic.Int64
}

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

// log writes a line, unless nothing happened, and begins anew.
func (c *counts) log(ctx context.Context, log *slog.Logger) {
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
		log.LogAttrs(ctx, slog.LevelInfo, "since the last line like this", attrs...)
	}
}
