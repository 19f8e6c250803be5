package gitserver

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"strings"
)

// Bitbucket is a server of POST /site/oauth2/access_token with one consumer. It is
// safe for concurrent use; its fields must not change while it serves.
type Bitbucket struct {
	server
	// Key, Secret and Scopes belong to the consumer; spaces separate scopes.
	Key, Secret, Scopes string
	// Token is the value of every token. Default: a random value for each.
	Token string

	public bool
	mints  int
}

// MakePublic makes the consumer public, which has no client credentials grant.
func (s *Bitbucket) MakePublic() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.public = true
}

// Mints returns the number of minted tokens.
func (s *Bitbucket) Mints() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mints
}

// ServeHTTP implements [http.Handler]. It validates requests like the real server.
func (s *Bitbucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.served(w, r) {
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
