package vault

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
)

const (
	// readyFor is how long the answer to one look at storage and keys holds.
	readyFor = time.Second
	// readyWithin bounds such a look.
	readyWithin = 2 * time.Second
)

// health is the answer of the handlers below.
type health struct {
	Status string `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// HealthHandler returns a handler for /healthz. It answers 200 as long as the
// process answers at all, and looks at nothing: a process is not better after a
// restart because its database is down.
func HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if canRead(w, r) {
			sendHealth(w, health{Status: "ok"})
		}
	})
}

// ReadyHandler returns a handler for /readyz. It answers 503 if the storage
// cannot be reached, if the key service refuses the vault, or if this process
// has not met a key service that works since it began.
//
// A key service that worked and is unavailable now is no such reason: data keys
// in memory go on serving, and polls that find nothing new need none. Answers
// take up to two seconds, hold for one, and say nothing that an error does; the
// log does.
func (v *Vault) ReadyHandler() http.Handler {
	p := &probe{v: v}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !canRead(w, r) {
			return
		}
		found, problem := p.result(r.Context())
		if problem == "" {
			sendHealth(w, found)
			return
		}
		setRetryAfter(w, readyFor)
		refuse(w, wire.Refusal{
			Type: wire.UnavailableProblem, Title: "This process is not ready", Status: http.StatusServiceUnavailable, Detail: problem,
		})
	})
}

// canRead refuses methods that are for writing.
func canRead(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	refuse(w, wrongMethod)
	return false
}

func sendHealth(w http.ResponseWriter, found health) {
	body, err := json.Marshal(found)
	if err != nil {
		panic(err) // strings always encode
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // nobody is there if this fails
}

// probe is the latest look at what a vault needs. Those who ask at the same
// time share one.
type probe struct {
	v *Vault

	mu      sync.Mutex    // never held during a look
	done    chan struct{} // closed at the end of the look under way; nil without one
	until   time.Time     // how long the rest holds
	found   health
	problem string
}

// result returns what was found, or a problem as a sentence.
func (p *probe) result(ctx context.Context) (health, string) {
	p.mu.Lock()
	if time.Now().Before(p.until) {
		defer p.mu.Unlock()
		return p.found, p.problem
	}
	done := p.done
	if done == nil {
		p.done = make(chan struct{})
		p.mu.Unlock()
		// Others wait for this, even if the one who asked first has gone.
		found, problem := p.v.look(context.WithoutCancel(ctx))
		p.mu.Lock()
		defer p.mu.Unlock()
		p.found, p.problem, p.until = found, problem, time.Now().Add(readyFor)
		close(p.done)
		p.done = nil
		return found, problem
	}
	p.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return health{}, "Nobody waits for the answer."
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.found, p.problem
}

// look asks the storage and the keyring.
func (v *Vault) look(ctx context.Context) (health, string) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	var group sync.WaitGroup
	var stored, keys error
	group.Go(func() { _, _, stored = v.storage.Changes(ctx, math.MaxInt64) })
	group.Go(func() { keys = v.keys.Check(ctx) })
	group.Wait()
	if stored != nil {
		v.log.ErrorContext(ctx, "not ready: the storage cannot be reached", "error", stored)
		return health{}, "The storage cannot be reached."
	}
	if keys == nil {
		v.keysWorked.Store(true)
		return health{Status: "ready"}, ""
	}
	// The keyring's own deadlines are longer than this one.
	unavailable := errors.Is(keys, keyring.ErrUnavailable) || errors.Is(keys, context.DeadlineExceeded)
	switch {
	case !unavailable:
		v.log.ErrorContext(ctx, "not ready: the key service refuses the vault", "error", keys)
		return health{}, "The key service refuses the vault."
	case !v.keysWorked.Load():
		v.log.ErrorContext(ctx, "not ready: the key service has not answered yet", "error", keys)
		return health{}, "The key service has not answered since this process began."
	}
	v.log.WarnContext(ctx, "the key service is unavailable; serving from memory", "error", keys)
	return health{Status: "ready", Detail: "The key service is unavailable; data keys in memory serve."}, ""
}
