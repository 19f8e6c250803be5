package vault

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/satchelhq/satchel/keyring"
)

// Health says whether a vault can serve runners.
type Health struct {
	// Ready is false if the storage cannot be reached, if the key service
	// refuses the vault, or if this process has not met a key service that works
	// since it began. A key service that worked and is unavailable now leaves it
	// true: data keys in memory go on serving, and polls that find nothing new
	// need none.
	Ready bool
	// Detail is a sentence about what is wrong, which may be shown to anyone. It
	// is empty if nothing is.
	Detail string
}

// healthWithin bounds a look at storage and keys.
const healthWithin = 2 * time.Second

// Health asks the storage and the key service, which takes at most two seconds.
// It logs the errors of both. Where many ask, share the answer for a while.
func (v *Vault) Health(ctx context.Context) Health {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	var group sync.WaitGroup
	var stored, keys error
	group.Go(func() { _, _, stored = v.storage.Changes(ctx, math.MaxInt64) })
	group.Go(func() { keys = v.keys.Check(ctx) })
	group.Wait()
	if stored != nil {
		v.log.ErrorContext(ctx, "not ready: the storage cannot be reached", "error", stored)
		return Health{Detail: "The storage cannot be reached."}
	}
	if keys == nil {
		v.keysWorked.Store(true)
		return Health{Ready: true}
	}
	// The keyring's own deadlines are longer than this one.
	unavailable := errors.Is(keys, keyring.ErrUnavailable) || errors.Is(keys, context.DeadlineExceeded)
	switch {
	case !unavailable:
		v.log.ErrorContext(ctx, "not ready: the key service refuses the vault", "error", keys)
		return Health{Detail: "The key service refuses the vault."}
	case !v.keysWorked.Load():
		v.log.ErrorContext(ctx, "not ready: the key service has not answered yet", "error", keys)
		return Health{Detail: "The key service has not answered since this process began."}
	}
	v.log.WarnContext(ctx, "the key service is unavailable; serving from memory", "error", keys)
	return Health{Ready: true, Detail: "The key service is unavailable; data keys in memory serve."}
}
