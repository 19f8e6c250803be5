package admin_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// credential authenticates an administrator; canary is part of every value.
const (
	credential = "hunter9credential-of-an-administrator"
	canary     = "hunter2canary-of-a-value"
)

// platform is an admin API over a real vault.
type platform struct {
	*vault.Vault
	kek    *keyringtest.Fake
	server *httptest.Server
	// fault, if set, serves requests in place of the vault.
	fault http.HandlerFunc
	seen  atomic.Pointer[http.Request]
	asked atomic.Int64
}

// github is an integration.
type github struct{ down atomic.Bool }

func (g *github) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
	if g.down.Load() {
		return nil, errors.New("it is down")
	}
	return bundle.New([]bundle.Secret{{Name: "GITHUB_TOKEN", Value: bundle.NewValue(canary)}}, nil)
}

func newPlatform(t testing.TB) *platform {
	t.Helper()
	p := &platform{kek: keyringtest.NewFake("platform")}
	keys, err := keyring.New(p.kek, nil)
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	p.Vault, err = vault.New(t.Context(), memstore.New(), keys, &vault.Options{
		Logger:       quiet,
		Required:     []vault.Required{{Scope: "acme", Name: "ANTHROPIC_API_KEY", Kind: "anthropic", Help: "get one from the console"}},
		Integrations: []vault.Integration{{Name: "github", Scope: "acme", Provider: &github{}}},
	})
	require.NoError(t, err)
	handler := vaulthttp.Admin(p.Vault, authorize, &vaulthttp.AdminOptions{Logger: quiet})
	p.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		p.seen.Store(r)
		if p.fault != nil {
			p.fault(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(p.server.Close)
	return p
}

// authorize accepts two administrators.
func authorize(r *http.Request) (vaulthttp.Actor, error) {
	switch r.Header.Get("Authorization") {
	case "Bearer " + credential:
		return vaulthttp.Actor{Name: "alice", Scopes: []string{vaulthttp.AllScopes}}, nil
	case "Bearer web":
		return vaulthttp.Actor{Name: "bob", Scopes: []string{"acme/web"}}, nil
	}
	return vaulthttp.Actor{}, errors.New("unknown credential")
}

// bearer returns an Authorize function.
func bearer(token string) func(*http.Request) error {
	return func(r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

// client returns a client of the platform.
func (p *platform) client() *admin.Client {
	return &admin.Client{URL: p.server.URL, Authorize: bearer(credential), HTTPClient: p.server.Client()}
}

// answer makes the platform send this response from now on.
func (p *platform) answer(status int, kind, body string) {
	p.fault = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// requireSafe fails the test if err contains a secret.
func requireSafe(t testing.TB, err error) {
	t.Helper()
	require.Error(t, err)
	leaktest.NoCanary(t, err.Error(), "the error", canary, "hunter2", credential, "hunter9", "rnt_0")
}

func value(s string) bundle.Value { return bundle.NewValue(s) }
