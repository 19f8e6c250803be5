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

// Platform is a platform for tests: a vault in memory, served over TLS on the loopback
// interface until the test ends. Do not change its fields. It is safe for concurrent
// use.
type Platform struct {
	// URL is the base URL for providers.Platform.
	URL string
	// Client is an HTTP client that trusts the platform's certificate.
	Client *http.Client
	// Vault is the vault behind the platform.
	Vault *vault.Vault
	// Storage is the store of the vault.
	Storage store.Store
	// KEK is the key service of the vault. It counts calls and fails on demand.
	KEK *keyringtest.Fake

	requests atomic.Int64
	fault    atomic.Pointer[http.Handler]
}

// NewPlatform starts a platform that stops when the test ends, or fails the test. It
// discards its log.
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
	// Waiting runners would block Close.
	t.Cleanup(server.CloseClientConnections)
	p.URL, p.Client = server.URL, server.Client()
	return p
}

// Put stores value under name in scope, or fails the test.
func (p *Platform) Put(t testing.TB, scope, name, value string) api.Secret {
	t.Helper()
	info, err := p.Vault.Put(t.Context(), scope, name, bundle.NewValue(value), nil)
	require.NoError(t, err)
	return info
}

// Token issues a token for scope, or fails the test. It returns the token as a function
// for the field Token of providers.Platform.
func (p *Platform) Token(t testing.TB, scope string) func(context.Context) (bundle.Value, error) {
	t.Helper()
	token, _, err := p.Vault.IssueToken(t.Context(), scope, nil)
	require.NoError(t, err)
	return func(context.Context) (bundle.Value, error) { return token, nil }
}

// Requests returns the number of requests received so far, including failed ones.
func (p *Platform) Requests() int { return int(p.requests.Load()) }

// Fail makes fault handle all further requests in place of the vault. A nil fault
// restores normal operation. This package has handlers for common faults, such as
// [Status] and [Hang].
func (p *Platform) Fail(fault http.Handler) {
	if fault == nil {
		p.fault.Store(nil)
		return
	}
	p.fault.Store(&fault)
}

// Status returns a handler that responds with a status code and an empty body.
func Status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

// Garbage returns a handler that responds 200 with JSON that is not a bundle.
func Garbage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"version":1,"secrets":[{"name":7}]}`))
	})
}

// Huge returns a handler that responds 200 with a body of size bytes, rounded up to a
// multiple of 64 KiB.
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

// Hang returns a handler that never sends a response. It ends when the client
// disconnects.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // otherwise the server would respond 200, which can reach a client that is just leaving
	})
}

// Trickle returns a handler that responds 200 and then sends a space every interval
// until the client disconnects. interval must be positive.
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
				panic(http.ErrAbortHandler) // as in Hang: the response has no end
			}
		}
	})
}

// Cut returns a handler that announces a body of 4096 bytes, sends the first few and
// closes the connection.
func Cut() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "4096")
		_, _ = w.Write([]byte(`{"version":1,`))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

// Redirect returns a handler that redirects to url with status 307.
func Redirect(url string) http.Handler {
	return http.RedirectHandler(url, http.StatusTemporaryRedirect)
}
