package vaulthttp

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/satchelhq/satchel/internal/shared"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
)

// readyFor is how long the answer to one look at storage and keys holds.
const readyFor = time.Second

// healthBody is the answer of the handlers below.
type healthBody struct {
	Status string `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Health returns a handler for /healthz. It answers 200 as long as the process
// answers at all, and looks at nothing: a process is not better after a restart
// because its database is down.
func Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if canRead(w, r) {
			sendHealth(w, healthBody{Status: "ok"})
		}
	})
}

// Ready returns a handler for /readyz. It answers 503 if the storage cannot be
// reached, if the key service refuses the vault, if this process has not met a
// key service that works since it began, or once drain has started. drain may be
// nil.
//
// A key service that worked and is unavailable now is no such reason: data keys
// in memory go on serving, and polls that find nothing new need none. Answers
// take up to two seconds, hold for one, and say nothing that an error does; the
// log does.
func Ready(v *vault.Vault, drain *Drain) http.Handler {
	// Those who ask at the same time share a look.
	looks := &shared.Flight[vault.Health]{Stay: true, Hold: func(vault.Health) time.Duration { return readyFor }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !canRead(w, r) {
			return
		}
		if drain.started() {
			setRetryAfter(w, readyFor)
			refuse(w, wire.Refusal{
				Type: wire.UnavailableProblem, Title: "This process is about to end", Status: http.StatusServiceUnavailable,
			})
			return
		}
		found, err := looks.Do(r.Context(), v.Health)
		if err != nil {
			found.Detail = "Nobody waits for the answer."
		}
		if found.Ready {
			sendHealth(w, healthBody{Status: "ready", Detail: found.Detail})
			return
		}
		setRetryAfter(w, readyFor)
		refuse(w, wire.Refusal{
			Type: wire.UnavailableProblem, Title: "This process is not ready", Status: http.StatusServiceUnavailable, Detail: found.Detail,
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

func sendHealth(w http.ResponseWriter, found healthBody) {
	body, err := json.Marshal(found)
	if err != nil {
		panic(err) // strings always encode
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // nobody is there if this fails
}
