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
	// flushEvery is when Run stores times of last use, for administrators who
	// look at them in another process, and flushWithin bounds its last flush.
	flushEvery  = 30 * time.Second
	flushWithin = 5 * time.Second

	// trimEvery is when Run drops old audit entries, and the rest is when it
	// does so first: processes that start together do not do it together.
	trimEvery  = 24 * time.Hour
	trimFirst  = time.Minute
	trimSpread = 10 * time.Minute
)

// Run does the recurring work of a vault until ctx is done, and then returns nil:
//
//   - every 30 seconds it stores the times of last use ([Vault.Flush]);
//   - once a day, if [Options].AuditKeep is set, it drops older audit entries of
//     all tenants ([Vault.TrimAudit]), for the first time at a random moment 1 to
//     11 minutes after its start. Their author is the actor of ctx.
//
// When ctx is done it flushes once more, which takes at most five seconds: end
// ctx after the last request has been answered. Failures are logged, and the work
// is tried again when it is due next.
//
// Each process calls Run once, in a goroutine of its own. A second Run at the
// same time returns an error at once; there is no other error.
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
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			v.flush(ctx, flushWithin)
		case <-ctx.Done():
			v.flush(ctx, flushWithin)
			return nil
		}
	}
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
	for tenant, err := range v.Tenants(ctx) {
		var dropped int64
		if err == nil {
			dropped, err = v.TrimAudit(ctx, tenant, before)
		}
		switch {
		case err == nil && dropped > 0:
			v.log.InfoContext(ctx, "old audit entries were dropped", "tenant", tenant, "entries", dropped)
		case err == nil, ctx.Err() != nil, errors.Is(err, ErrConflict): // another process is doing it
		default:
			v.log.ErrorContext(ctx, "could not drop old audit entries", "tenant", tenant, "error", err)
		}
	}
}
