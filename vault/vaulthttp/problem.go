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
)

// retryAfter is what clients are told when the vault cannot answer for now.
const retryAfter = 5 * time.Second

// setRetryAfter tells a client how long to stay away, in whole seconds.
func setRetryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int((d+time.Second-1)/time.Second))))
}

// refuseFailure answers a request that err ended through no fault of its own.
// What the vault says goes to the log, under what; the client gets a fixed
// text.
func refuseFailure(w http.ResponseWriter, r *http.Request, log *slog.Logger, what string, err error) {
	// The client has gone if the context is over, or the server is about to.
	if r.Context().Err() == nil {
		log.ErrorContext(r.Context(), what, "error", err)
	}
	if broken(err) {
		refuse(w, wire.Refusal{
			Type: wire.IntegrityProblem, Title: "The vault refuses what it has stored", Status: http.StatusInternalServerError,
			Detail: "Somebody has to look at the platform's log.",
		})
		return
	}
	if r.Context().Err() != nil {
		refuseEnding(w)
		return
	}
	setRetryAfter(w, retryAfter)
	refuse(w, wire.Refusal{
		Type: wire.UnavailableProblem, Title: "The vault cannot open its secrets for now", Status: http.StatusServiceUnavailable,
	})
}

// refuseEnding answers a request that the platform does not answer itself any
// more.
func refuseEnding(w http.ResponseWriter) {
	setRetryAfter(w, retryAfter)
	refuse(w, wire.Refusal{
		Type: wire.UnavailableProblem, Title: "The platform ended the request", Status: http.StatusServiceUnavailable,
		Detail: "It may be about to restart. Ask again after the time that Retry-After says.",
	})
}

// broken reports whether err says that stored rows are not as the vault wrote
// them.
func broken(err error) bool {
	return errors.Is(err, keyring.ErrTampered) || errors.Is(err, keyring.ErrMalformed) || errors.Is(err, vault.ErrRollback)
}
