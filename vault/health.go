package vault

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/satchelhq/satchel/keyring"
)

// Health is the result of [Vault.Health].
type Health struct {
	// Ready reports whether the vault can serve runners. It is false if storage
	// fails, if the key service rejects the vault's request, or if the key service
	// has not responded since this process started. It stays true if the key service
	// worked before and is unavailable now: the vault serves with the data keys in
	// memory, and a poll that finds nothing new needs no key.
	Ready bool
	// Detail describes the problem in one sentence that is safe to publish. It is
	// empty if there is no problem.
	Detail string
}

// healthWithin bounds the checks of Health.
const healthWithin = 2 * time.Second

// Health checks storage and the key service, concurrently and for at most two
// seconds, and logs their errors instead of returning them. Each call is a request to
// storage, so cache the result if there are many callers.
func (v *Vault) Health(ctx context.Context) Health {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	var group sync.WaitGroup
	var stored, keys error
	group.Go(func() { _, _, stored = v.storage.Changes(ctx, math.MaxInt64) })
	group.Go(func() { keys = v.keys.Check(ctx) })
	group.Wait()
	if stored != nil {
		v.log.ErrorContext(ctx, "not ready: storage is unavailable", "error", stored)
		return Health{Detail: "Storage is unavailable."}
	}
	if keys == nil {
		v.keysWorked.Store(true)
		return Health{Ready: true}
	}
	// The keyring's own deadlines are longer than this one.
	unavailable := errors.Is(keys, keyring.ErrUnavailable) || errors.Is(keys, context.DeadlineExceeded)
	switch {
	case !unavailable:
		v.log.ErrorContext(ctx, "not ready: the key service rejected the request", "error", keys)
		return Health{Detail: "The key service rejected the vault's request."}
	case !v.keysWorked.Load():
		v.log.ErrorContext(ctx, "not ready: the key service has not responded yet", "error", keys)
		return Health{Detail: "The key service has not responded since this process started."}
	}
	v.log.WarnContext(ctx, "the key service is unavailable; serving with the data keys in memory", "error", keys)
	return Health{Ready: true, Detail: "The key service is unavailable; serving with the data keys in memory."}
}
