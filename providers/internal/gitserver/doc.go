// Package gitserver stands in for GitHub and Bitbucket in tests: the few calls
// by which tokens are minted and revoked, as the public documentation of both
// has them. What arrives is checked as strictly as it is there.
package gitserver

import (
	"encoding/json"
	"net/http"
)

// write answers with JSON.
func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
