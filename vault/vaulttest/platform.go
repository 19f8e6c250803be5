package vaulttest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// Platform is a platform for tests: a vault in memory, served over TLS on
// loopback until the test ends. Its fields may be used and not replaced.
type Platform struct {
	// URL is the base URL to give to providers.Platform.
	URL string
	// Client trusts the platform's certificate.
	Client *http.Client
	// Vault is the vault behind the platform, and Storage its rows.
	Vault   *vault.Vault
	Storage store.Store
	// KEK is the key service. It counts calls and fails on demand.
	KEK *keyringtest.Fake

	requests atomic.Int64
	fault    atomic.Pointer[http.Handler]
}

// NewPlatform starts a platform. Its vault logs nowhere.
func NewPlatform(t testing.TB) *Platform {
	t.Helper()
	p := &Platform{KEK: keyringtest.NewFake("platform"), Storage: memstore.New()}
	keys, err := keyring.New(p.KEK, nil)
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	p.Vault, err = vault.New(t.Context(), p.Storage, keys, &vault.Options{Logger: quiet})
	require.NoError(t, err)

	handler := vaulthttp.Runners(p.Vault, &vaulthttp.Options{Logger: quiet})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		if fault := p.fault.Load(); fault != nil {
			(*fault).ServeHTTP(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	// Runners that wait would hold up Close.
	t.Cleanup(server.CloseClientConnections)
	p.URL, p.Client = server.URL, server.Client()
	return p
}

// Put stores a secret, or fails the test.
func (p *Platform) Put(t testing.TB, scope, name, value string) api.Secret {
	t.Helper()
	info, err := p.Vault.Put(t.Context(), scope, name, bundle.NewValue(value), nil)
	require.NoError(t, err)
	return info
}

// Token issues a token for scope and returns it in the form that
// providers.Platform asks for.
func (p *Platform) Token(t testing.TB, scope string) func(context.Context) (bundle.Value, error) {
	t.Helper()
	token, _, err := p.Vault.IssueToken(t.Context(), scope, nil)
	require.NoError(t, err)
	return func(context.Context) (bundle.Value, error) { return token, nil }
}

// Requests returns the number of requests that have arrived.
func (p *Platform) Requests() int { return int(p.requests.Load()) }

// Fail lets fault answer all requests from now on, in place of the vault; nil
// mends the platform. Package vaulttest has the usual faults.
func (p *Platform) Fail(fault http.Handler) {
	if fault == nil {
		p.fault.Store(nil)
		return
	}
	p.fault.Store(&fault)
}

// Status answers with a status code and an empty body.
func Status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

// Garbage answers 200 with JSON that is not a bundle.
func Garbage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"version":1,"secrets":[{"name":7}]}`))
	})
}

// Huge answers 200 with a body of size bytes.
func Huge(size int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		chunk := make([]byte, 64<<10)
		for i := range chunk {
			chunk[i] = ' '
		}
		for sent := 0; sent < size; sent += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
}

// Hang answers nothing until the client gives up.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// Trickle answers 200 and then a blank every interval, without an end.
func Trickle(interval time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			if _, err := w.Write([]byte(" ")); err != nil {
				return
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			select {
			case <-ticker.C:
			case <-r.Context().Done():
				return
			}
		}
	})
}

// Cut announces a long body, sends a part of it and closes the connection.
func Cut() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "4096")
		_, _ = w.Write([]byte(`{"version":1,`))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

// Redirect sends clients to another URL.
func Redirect(url string) http.Handler {
	return http.RedirectHandler(url, http.StatusTemporaryRedirect)
}
