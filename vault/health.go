package vault

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/satchelhq/satchel/internal/shared"
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
	// Those who ask at the same time share a look.
	looks := &shared.Flight[finding]{Stay: true, Hold: func(finding) time.Duration { return readyFor }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !canRead(w, r) {
			return
		}
		found, err := looks.Do(r.Context(), v.look)
		if err != nil {
			found.problem = "Nobody waits for the answer."
		}
		if found.problem == "" {
			sendHealth(w, found.health)
			return
		}
		setRetryAfter(w, readyFor)
		refuse(w, wire.Refusal{
			Type: wire.UnavailableProblem, Title: "This process is not ready", Status: http.StatusServiceUnavailable, Detail: found.problem,
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

// finding is what a look found, or a problem as a sentence.
type finding struct {
	health  health
	problem string
}

// look asks the storage and the keyring.
func (v *Vault) look(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	var group sync.WaitGroup
	var stored, keys error
	group.Go(func() { _, _, stored = v.storage.Changes(ctx, math.MaxInt64) })
	group.Go(func() { keys = v.keys.Check(ctx) })
	group.Wait()
	if stored != nil {
		v.log.ErrorContext(ctx, "not ready: the storage cannot be reached", "error", stored)
		return finding{problem: "The storage cannot be reached."}
	}
	if keys == nil {
		v.keysWorked.Store(true)
		return finding{health: health{Status: "ready"}}
	}
	// The keyring's own deadlines are longer than this one.
	unavailable := errors.Is(keys, keyring.ErrUnavailable) || errors.Is(keys, context.DeadlineExceeded)
	switch {
	case !unavailable:
		v.log.ErrorContext(ctx, "not ready: the key service refuses the vault", "error", keys)
		return finding{problem: "The key service refuses the vault."}
	case !v.keysWorked.Load():
		v.log.ErrorContext(ctx, "not ready: the key service has not answered yet", "error", keys)
		return finding{problem: "The key service has not answered since this process began."}
	}
	v.log.WarnContext(ctx, "the key service is unavailable; serving from memory", "error", keys)
	return finding{health: health{Status: "ready", Detail: "The key service is unavailable; data keys in memory serve."}}
}
