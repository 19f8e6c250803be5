// Package gitserver has test servers for GitHub and Bitbucket. They implement the
// calls that mint and revoke tokens, according to the public documentation, and
// validate requests as strictly as the real servers.
package gitserver

import (
	"encoding/json"
	"net/http"
	"sync"
)

// write sends a JSON response.
func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// server is the common part of the servers. mu guards their fields too.
type server struct {
	mu      sync.Mutex
	instead http.HandlerFunc
}

// Instead makes h serve all requests, or the server again if h is nil.
func (s *server) Instead(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead = h
}

// served reports whether the handler from Instead served a request.
func (s *server) served(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	instead := s.instead
	s.mu.Unlock()
	if instead != nil {
		instead(w, r)
	}
	return instead != nil
}
