package vault

import (
	"context"
	"sync"
	"time"

	"github.com/satchelhq/satchel/vault/store"
)

const (
	// recordEvery is how long uses are collected before they are stored, so that
	// not every read causes a write.
	recordEvery = 10 * time.Second
	// recordWithin bounds the time for storing uses at the end of a request.
	recordWithin = 2 * time.Second
	// recordMost is the maximum number of tokens and secrets collected.
	recordMost = 10_000
)

// uses collects the latest use of each token and secret.
type uses struct {
	mu      sync.Mutex
	pending map[useKey]store.Usage
	since   time.Time // of the first pending use
}

type useKey struct{ token, scope, name string }

// record collects uses, and stores the collection when it is due. A failure to store
// is logged; it does not affect the runner.
func (v *Vault) record(ctx context.Context, used ...store.Usage) {
	if v.uses.add(used) {
		v.flush(ctx, recordWithin)
	}
}

// Flush stores the times of last use of secrets and tokens that were collected since
// the last flush. A vault in use flushes about every ten seconds, and [Vault.Run] does
// so every 30 seconds and at its end. A program without Run must call Flush before it
// exits. If the store fails or ctx is done, Flush returns that error and keeps the
// uses for the next flush.
func (v *Vault) Flush(ctx context.Context) error {
	pending := v.uses.take()
	if len(pending) == 0 {
		return nil
	}
	err := v.storage.Touch(ctx, pending)
	if err != nil {
		v.uses.add(pending)
	}
	return err
}

// flush is Flush for at most within, even if ctx is done. A failure is logged.
func (v *Vault) flush(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	if err := v.Flush(ctx); err != nil {
		v.log.WarnContext(ctx, "could not record when secrets were last used", "error", err)
	}
}

// add collects uses and reports whether it is time to store the collection.
func (u *uses) add(used []store.Usage) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pending == nil {
		u.pending = map[useKey]store.Usage{}
	}
	if len(u.pending) == 0 {
		u.since = time.Now()
	}
	for _, use := range used {
		key := useKey{token: use.Token}
		if use.Name != "" {
			key = useKey{scope: use.Scope, name: use.Name}
		}
		if was, ok := u.pending[key]; !ok && len(u.pending) < recordMost || ok && use.Time.After(was.Time) {
			u.pending[key] = use
		}
	}
	return len(u.pending) >= recordMost || time.Since(u.since) >= recordEvery
}

// take empties the collection and returns its content.
func (u *uses) take() []store.Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make([]store.Usage, 0, len(u.pending))
	for _, use := range u.pending {
		out = append(out, use)
	}
	clear(u.pending)
	return out
}
