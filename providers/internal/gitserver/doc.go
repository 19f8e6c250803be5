// Package gitserver has test servers for GitHub and Bitbucket. They implement the
// calls that mint and revoke tokens, according to the public documentation, and
// validate requests as strictly as the real servers.
package gitserver

import (
	"encoding/json"
	"net/http"
)

// write sends a JSON response.
func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
