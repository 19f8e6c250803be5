package gitserver

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
)

// Bitbucket is a server of one call, POST /site/oauth2/access_token, that knows
// one consumer.
type Bitbucket struct {
	// Key and Secret are the consumer's, and Scopes what it may do.
	Key, Secret, Scopes string
	// Token makes all tokens that one. Default: each is another.
	Token string

	mu      sync.Mutex
	public  bool
	instead http.HandlerFunc
	mints   int
}

// MakePublic has the consumer no longer marked as private.
func (s *Bitbucket) MakePublic() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.public = true
}

// Instead has all requests answered by h, and by s again if h is nil.
func (s *Bitbucket) Instead(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead = h
}

// Mints returns the number of tokens that were given.
func (s *Bitbucket) Mints() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mints
}

// ServeHTTP implements [http.Handler].
func (s *Bitbucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	instead := s.instead
	s.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(status int, word, description string) {
		write(w, status, map[string]string{"error": word, "error_description": description})
	}
	key, secret, basic := r.BasicAuth()
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	switch {
	case r.URL.Path != "/site/oauth2/access_token" || r.Method != http.MethodPost:
		http.Error(w, "Repository not found", http.StatusNotFound)
	case !basic:
		refuse(http.StatusUnauthorized, "unauthorized_client", "Requests must be authenticated using OAuth client credentials")
	case key != s.Key || secret != s.Secret:
		refuse(http.StatusBadRequest, "unauthorized_client", "Invalid OAuth client credentials")
	case s.public:
		refuse(http.StatusBadRequest, "invalid_grant", "Cannot use client_credentials with a consumer marked as \"public\".")
	case !form || r.PostFormValue("grant_type") != "client_credentials":
		refuse(http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant type")
	default:
		s.mints++
		write(w, http.StatusOK, map[string]any{
			"access_token": cmp.Or(s.Token, rand.Text()+rand.Text()+"="), "token_type": "bearer", "expires_in": 7200,
			"scopes": s.Scopes, "state": "client_credentials", "refresh_token": rand.Text(),
		})
	}
}
