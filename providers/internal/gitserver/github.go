package gitserver

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Installation is an installation of a GitHub App.
type Installation struct {
	App          string            // the client id or app id
	Repositories []string          // names without the owner
	Permissions  map[string]string // levels by permission
	Suspended    bool              // no tokens are minted
}

// Mint is a minted token and its request.
type Mint struct {
	Claims       Claims            // of the app's JSON web token
	Repositories []string          // as requested; nil for all
	Permissions  map[string]string // as requested; nil for all
	Token        string            // the minted token
}

// GitHub is a server of POST /app/installations/ID/access_tokens and DELETE
// /installation/token. Use [NewGitHub] or [NewInstalled]. It is safe for concurrent
// use.
type GitHub struct {
	server
	path          string
	ahead         time.Duration
	token         string
	keys          map[string][]*rsa.PublicKey
	installations map[int64]Installation
	widen         map[string]string
	mints         []Mint
	alive         map[string]time.Time
}

// NewGitHub returns a GitHub without apps, whose API is below path, such as /api/v3
// or the empty string.
func NewGitHub(path string) *GitHub {
	return &GitHub{path: path, keys: map[string][]*rsa.PublicKey{}, installations: map[int64]Installation{}, alive: map[string]time.Time{}}
}

// SetKeys replaces the keys of an app, which it adds if necessary.
func (s *GitHub) SetKeys(app string, keys ...*rsa.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[app] = keys
}

// Install adds or replaces an installation.
func (s *GitHub) Install(id int64, i Installation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.installations[id] = i
}

// Remove removes an installation.
func (s *GitHub) Remove(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.installations, id)
}

// SetClock sets how far the server's clock is ahead of this machine's.
func (s *GitHub) SetClock(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}

// SetToken sets the value of every token. The empty string means a random value for
// each, which is the default.
func (s *GitHub) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

// Widen sets permissions that each token gets in addition to the requested ones.
func (s *GitHub) Widen(permissions map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.widen = permissions
}

// Mints returns what was minted, oldest first.
func (s *GitHub) Mints() []Mint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mints)
}

// Alive reports whether a token would be accepted.
func (s *GitHub) Alive(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isAlive(token)
}

func (s *GitHub) isAlive(token string) bool { return s.now().Before(s.alive[token]) }

func (s *GitHub) now() time.Time { return time.Now().Add(s.ahead) }

// ServeHTTP implements [http.Handler]. It validates requests like the real server.
func (s *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.served(w, r) {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	path, ok := strings.CutPrefix(r.URL.Path, s.path)
	id, isMint := strings.CutPrefix(path, "/app/installations/")
	id, ends := strings.CutSuffix(id, "/access_tokens")
	switch {
	case r.Header.Get("User-Agent") == "" || strings.HasPrefix(r.Header.Get("User-Agent"), "Go-http-client"):
		http.Error(w, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.", http.StatusForbidden)
	case r.Header.Get("X-GitHub-Api-Version") != "2022-11-28" || r.Header.Get("Accept") != "application/vnd.github+json":
		refuse(w, http.StatusBadRequest, "Unsupported version or media type")
	case ok && isMint && ends && r.Method == http.MethodPost:
		s.mint(w, r, token, id)
	case ok && path == "/installation/token" && r.Method == http.MethodDelete:
		if !bearer || !s.isAlive(token) {
			refuse(w, http.StatusUnauthorized, "Bad credentials")
			return
		}
		delete(s.alive, token)
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusNotFound, "Not Found")
	}
}

func refuse(w http.ResponseWriter, status int, message string) {
	write(w, status, map[string]string{"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status)})
}

var levels = map[string]int{"read": 1, "write": 2, "admin": 3}

// repository is GitHub's description of a repository, shortened.
type repository struct {
	Name string `json:"name"`
}

func (s *GitHub) mint(w http.ResponseWriter, r *http.Request, jwt, id string) {
	claims, refusal := Verify(jwt, s.keys, s.now())
	if refusal != "" {
		refuse(w, http.StatusUnauthorized, refusal)
		return
	}
	number, err := strconv.ParseInt(id, 10, 64)
	installation, ok := s.installations[number]
	if err != nil || !ok || installation.App != claims.Issuer {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	if installation.Suspended {
		refuse(w, http.StatusForbidden, "This installation has been suspended")
		return
	}
	var asked struct {
		Repositories []string          `json:"repositories"`
		Permissions  map[string]string `json:"permissions"`
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) > 0 && json.Unmarshal(body, &asked) != nil {
		refuse(w, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	var chosen []repository
	for _, name := range asked.Repositories {
		i := slices.IndexFunc(installation.Repositories, func(r string) bool { return strings.EqualFold(r, name) })
		if i < 0 {
			refuse(w, http.StatusUnprocessableEntity, "There is at least one repository that does not exist or is not accessible to the parent installation.")
			return
		}
		chosen = append(chosen, repository{installation.Repositories[i]})
	}
	for name, level := range asked.Permissions {
		if levels[level] == 0 || levels[level] > levels[installation.Permissions[name]] {
			refuse(w, http.StatusUnprocessableEntity, "The permissions requested are not granted to this installation.")
			return
		}
	}
	granted := maps.Clone(asked.Permissions)
	if granted == nil {
		granted = maps.Clone(installation.Permissions)
	}
	granted["metadata"] = cmp.Or(granted["metadata"], "read")
	maps.Copy(granted, s.widen)

	token := cmp.Or(s.token, "ghs_"+rand.Text()+rand.Text())
	expires := s.now().Add(time.Hour).UTC().Truncate(time.Second)
	s.alive[token] = expires
	s.mints = append(s.mints, Mint{Claims: claims, Repositories: asked.Repositories, Permissions: asked.Permissions, Token: token})
	answer := map[string]any{"token": token, "expires_at": expires, "permissions": granted, "repository_selection": "all"}
	if chosen != nil {
		answer["repository_selection"], answer["repositories"] = "selected", chosen
	}
	write(w, http.StatusCreated, answer)
}
