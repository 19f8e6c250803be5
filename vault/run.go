package vault

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/satchelhq/satchel/internal/pause"
)

const (
	// flushEvery is the interval at which Run stores times of last use, for
	// administrators who read them through another process. flushWithin bounds each
	// of these flushes, and each sending of missed audit entries.
	flushEvery  = 30 * time.Second
	flushWithin = 5 * time.Second

	// trimEvery is the interval at which Run drops old audit entries. The first
	// time is trimFirst plus a random part of trimSpread after the start, so that
	// processes that start together spread this work.
	trimEvery  = 24 * time.Hour
	trimFirst  = time.Minute
	trimSpread = 10 * time.Minute
)

// Run does the recurring work of a vault until ctx is done, and then returns nil:
//
//   - every 30 seconds it stores the times of last use ([Vault.Flush]), and sends
//     audit sinks the entries that they have missed;
//   - once a day, if [Options].AuditKeep is set, it drops older audit entries of
//     all tenants ([Vault.TrimAudit]);
//   - once an hour it drops tokens that have ended ([Vault.PruneTokens]).
//
// The last two begin at random moments 1 to 11 minutes after the start of Run. The actor
// of ctx is the author of their changes.
//
// When ctx is done, Run does the first of these once more, for at most ten seconds.
// Cancel ctx after the last request has finished. Failures are logged and the work is
// retried at its next turn.
//
// Each process calls Run once, in a separate goroutine. Run returns an error only if
// another Run of this vault is in progress, immediately and without a sentinel.
func (v *Vault) Run(ctx context.Context) error {
	if !v.running.CompareAndSwap(false, true) {
		return errors.New("running the vault: it is already running; call Run once")
	}
	defer v.running.Store(false)
	var group sync.WaitGroup
	defer group.Wait()
	if v.auditKeep > 0 {
		group.Go(func() { v.trimDaily(ctx) })
	}
	group.Go(func() { v.pruneHourly(ctx) })
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			v.flush(ctx, flushWithin)
			v.catchUp(ctx)
		case <-ctx.Done():
			v.flush(ctx, flushWithin)
			v.catchUp(ctx)
			return nil
		}
	}
}

// catchUp sends audit sinks the entries that they have missed, even if ctx is done. The
// log has a failure.
func (v *Vault) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	_ = v.audit.CatchUp(ctx)
}

// trimDaily drops old audit entries once a day until ctx is done.
func (v *Vault) trimDaily(ctx context.Context) {
	next := trimFirst + rand.N(trimSpread)
	for pause.For(ctx, next) == nil {
		v.trimTenants(ctx)
		next = trimEvery
	}
}

// trimTenants drops the old audit entries of every tenant.
func (v *Vault) trimTenants(ctx context.Context) {
	before := time.Now().Add(-v.auditKeep)
	for tenant, err := range tenants(ctx, v.storage) {
		var dropped int64
		if err == nil {
			dropped, err = v.TrimAudit(ctx, tenant, before)
		}
		switch {
		case err == nil && dropped > 0:
			v.log.InfoContext(ctx, "old audit entries were dropped", "tenant", tenant, "entries", dropped)
		case err == nil, ctx.Err() != nil, errors.Is(err, ErrConflict): // a conflict: another process trims this chain
		default:
			v.log.ErrorContext(ctx, "could not drop old audit entries", "tenant", tenant, "error", err)
		}
	}
}
