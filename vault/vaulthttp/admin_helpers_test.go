package vaulthttp_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/internal/vaultfixture"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// admin is a vault behind an admin handler, with requests from an actor.
type admin struct {
	*fixture
	handler http.Handler
	// The authorize function is who.
	who func(*http.Request) (vaulthttp.Actor, error)
}

// newAdmin returns a vault with an integration that mints for acme, and with
// secrets that acme/web requires.
func newAdmin(t testing.TB) *admin {
	t.Helper()
	return newAdminOver(t, memstore.New(), nil)
}

func newAdminOver(t testing.TB, s store.Store, change func(*vault.Options)) *admin {
	t.Helper()
	opts := &vault.Options{
		Integrations: []vault.Integration{{Name: "github", Scope: "acme", Provider: mints{"GITHUB_TOKEN", mintedCanary}}},
		Required: []vault.Required{
			{Scope: "acme", Name: "GITHUB_TOKEN", Kind: "github"},
			{Scope: "acme/web", Name: "ANTHROPIC_API_KEY", Kind: "anthropic", Help: "ask the platform team"},
		},
	}
	if change != nil {
		change(opts)
	}
	a := &admin{fixture: &fixture{vaultfixture.Over(t, s, keyringtest.NewFake("kek"), opts)}}
	a.who = func(*http.Request) (vaulthttp.Actor, error) {
		return vaulthttp.Actor{Name: "alice", Scopes: []string{vaulthttp.AllScopes}}, nil
	}
	authorize := func(r *http.Request) (vaulthttp.Actor, error) { return a.who(r) }
	a.handler = vaulthttp.Admin(a.Vault, authorize, &vaulthttp.AdminOptions{Logger: a.Log.Logger()})
	return a
}

const mintedCanary = "ghs_canaryMinted0123456789abcdefghijklmn"

// mints is an integration that always succeeds.
type mints struct{ name, value string }

func (m mints) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
	return bundle.New([]bundle.Secret{{Name: m.name, Value: bundle.NewValue(m.value), Expires: time.Now().Add(time.Hour)}}, nil)
}

// reply is a handler's response.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// decode returns the response's JSON as a T, after checking the status.
func decode[T any](t testing.TB, a *reply, status int) T {
	t.Helper()
	require.Equal(t, status, a.status, "the response is %s", a.body)
	var out T
	require.NoError(t, json.Unmarshal(a.body, &out))
	return out
}

// requireRefusal fails the test unless a is a problem with a status, whose text
// contains want.
func requireRefusal(t testing.TB, a *reply, status int, want, why string) {
	t.Helper()
	require.Equal(t, status, a.status, "%s; the response is %s", why, a.body)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), why)
	var problem struct {
		Type, Title, Detail string
		Status              int
	}
	require.NoError(t, json.Unmarshal(a.body, &problem), why)
	require.Equal(t, status, problem.Status, why)
	require.NotEmpty(t, problem.Type, why)
	require.Contains(t, problem.Title+": "+problem.Detail, want, why)
}

// do sends a request with the headers that a change needs. header are names and
// values; an empty value removes the header. The response is checked against the
// OpenAPI description.
func (a *admin) do(t testing.TB, method, target, body string, header ...string) *reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if method != http.MethodGet && method != http.MethodHead {
		r.Header.Set(vaulthttp.AdminHeader, "1")
		if method != http.MethodDelete {
			r.Header.Set("Content-Type", "application/json")
		}
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
		} else {
			r.Header.Add(header[i], header[i+1])
		}
	}
	return a.send(t, r)
}

func (a *admin) send(t testing.TB, r *http.Request) *reply {
	t.Helper()
	got := serve(a.handler, r)
	requireDescribed(t, r.Method, r.URL.Path, got)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"), "responses are not cached")
	require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
	for name := range got.header {
		require.False(t, strings.HasPrefix(name, "Access-Control-"), "no response allows another origin")
	}
	return got
}

func serve(h http.Handler, r *http.Request) *reply {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return &reply{status: w.Code, header: w.Header(), body: w.Body.Bytes()}
}

// requireUnchanged fails the test if do stored anything.
func (a *admin) requireUnchanged(t testing.TB, why string, do func()) {
	t.Helper()
	before, _, err := a.Storage.Store.Changes(t.Context(), 0)
	require.NoError(t, err)
	do()
	after, _, err := a.Storage.Store.Changes(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, before, after, why)
}
