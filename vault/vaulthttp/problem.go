package vaulthttp

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
)

// retryAfter is the Retry-After of a temporary failure.
const retryAfter = 5 * time.Second

// setRetryAfter sets the Retry-After header, in seconds rounded up.
func setRetryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int((d+time.Second-1)/time.Second))))
}

// refuseFailure responds to a valid request that failed with err. The log gets the
// error under the message what; the client gets a fixed text.
func refuseFailure(w http.ResponseWriter, r *http.Request, log *slog.Logger, what string, err error) {
	// If the context is done, the client has disconnected or the server shuts down.
	if r.Context().Err() == nil {
		log.ErrorContext(r.Context(), what, "error", err)
	}
	if broken(err) {
		refuse(w, wire.Refusal{
			Type: wire.IntegrityProblem, Title: "Stored data failed its integrity check", Status: http.StatusInternalServerError,
			Detail: "An operator must check the platform's log.",
		})
		return
	}
	if r.Context().Err() != nil {
		refuseEnding(w)
		return
	}
	problem := wire.Refusal{Type: wire.UnavailableProblem, Title: "The vault is temporarily unavailable", Status: http.StatusServiceUnavailable}
	if errors.Is(err, audit.ErrNotRecorded) {
		problem.Detail = "The audit entry could not be recorded. A change may be stored: read the current state before you retry."
	}
	setRetryAfter(w, retryAfter)
	refuse(w, problem)
}

// refuseEnding responds to a request that the server cut short.
func refuseEnding(w http.ResponseWriter) {
	setRetryAfter(w, retryAfter)
	refuse(w, wire.Refusal{
		Type: wire.UnavailableProblem, Title: "The platform ended the request", Status: http.StatusServiceUnavailable,
		Detail: "It may be restarting. Retry after the time in Retry-After.",
	})
}

// broken reports whether err means that stored rows were modified outside the
// vault.
func broken(err error) bool {
	return errors.Is(err, keyring.ErrTampered) || errors.Is(err, keyring.ErrMalformed) || errors.Is(err, vault.ErrRollback)
}
