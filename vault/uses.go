package vault

import (
	"context"
	"sync"
	"time"

	"github.com/satchelhq/satchel/vault/store"
)

const (
	// recordEvery is how long uses are collected before they are stored, so
	// that reading costs no write a request.
	recordEvery = 10 * time.Second
	// recordWithin bounds the storing of uses, which a request does on its
	// way out.
	recordWithin = 2 * time.Second
	// recordMost is how many tokens and secrets are collected at most.
	recordMost = 10_000
)

// uses collects the latest use of each token and secret.
type uses struct {
	mu      sync.Mutex
	pending map[useKey]store.Usage
	since   time.Time // of the first pending use
}

type useKey struct{ token, scope, name string }

// record notes uses and now and then stores what has been collected. A failure
// to store is logged and costs the runner nothing.
func (v *Vault) record(ctx context.Context, used ...store.Usage) {
	if v.uses.add(used) {
		v.flush(ctx, recordWithin)
	}
}

// Flush stores the uses of secrets and tokens that were collected since the
// last time. A vault does so by itself about every ten seconds while it is in
// use, and [Vault.Run] does so in between and at its end; a program without Run
// calls Flush before it exits. After an error, of storage or of ctx, the uses are
// kept for the next time.
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

// flush is Flush for at most within, even if ctx is over. A failure is logged.
func (v *Vault) flush(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	if err := v.Flush(ctx); err != nil {
		v.log.WarnContext(ctx, "could not record when secrets were last used", "error", err)
	}
}

// add reports whether it is time to store what there is.
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

// take empties the collection.
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
