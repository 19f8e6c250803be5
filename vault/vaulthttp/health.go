package vaulthttp

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/satchelhq/satchel/internal/shared"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
)

// readyFor is how long the result of a readiness check is reused.
const readyFor = time.Second

// healthBody is the response of Health and of a successful Ready.
type healthBody struct {
	Status string `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Health returns a handler for /healthz. It always responds 200 and checks nothing,
// because restarting a process does not repair an unavailable database.
func Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if canRead(w, r) {
			sendHealth(w, healthBody{Status: "ok"})
		}
	})
}

// Ready returns a handler for /readyz. It responds 200 if the next write and the next
// delivery can be expected to succeed, and 503 otherwise; see [vault.Vault.Health]. So
// it responds 503 if storage cannot be written to, if nothing is stored in it yet, if
// the keyring does not open the stored data, if an audit sink cannot record, if the key
// service denies access, if this process has never reached a working key service, or
// after drain has started. drain may be nil.
//
// An outage of a key service that has worked before does not make the process
// unready: data keys in memory continue to serve, and polls that find no change need
// no key. A check takes up to two seconds, concurrent requests share it, and its
// result is reused for one second. Responses contain no errors; the log does.
func Ready(v *vault.Vault, drain *Drain) http.Handler {
	// Concurrent requests share a check.
	looks := &shared.Flight[vault.Health]{Stay: true, Hold: func(vault.Health) time.Duration { return readyFor }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !canRead(w, r) {
			return
		}
		if drain.started() {
			setRetryAfter(w, readyFor)
			refuse(w, wire.Refusal{
				Type: wire.UnavailableProblem, Title: "This process is shutting down", Status: http.StatusServiceUnavailable,
			})
			return
		}
		found, err := looks.Do(r.Context(), v.Health)
		if err != nil {
			found.Detail = "The check was canceled."
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

// canRead refuses methods other than GET and HEAD.
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
	_, _ = w.Write(append(body, '\n')) // fails only if the client has disconnected
}
