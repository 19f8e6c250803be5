package vaulthttp_test

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// newExample returns a vault in memory under a key that is in the code, which
// is good for examples and nothing else.
func newExample(ctx context.Context) (*vault.Vault, error) {
	kek, err := local.New("example", []byte("thirty-two bytes for the example"))
	if err != nil {
		return nil, err
	}
	keys, err := keyring.New(kek, nil)
	if err != nil {
		return nil, err
	}
	return vault.New(ctx, memstore.New(), keys, nil)
}

// A platform mounts the handler beside its own, here below /api.
func ExampleRunners() {
	ctx := context.Background()
	v, err := newExample(ctx)
	if err != nil {
		log.Fatal(err)
	}
	token, _, err := v.IssueToken(ctx, "acme/web", nil)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", http.StripPrefix("/api", vaulthttp.Runners(v, nil)))
	server := httptest.NewTLSServer(mux) // http.ListenAndServeTLS in a program
	defer server.Close()

	req, err := http.NewRequest(http.MethodGet, server.URL+"/api/runners/bootstrap", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	res, err := server.Client().Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println(res.Status, res.Header.Get("Content-Type"))

	// Output: 200 OK application/json
}

// A platform serves runners, administrators and whoever watches the process.
func ExampleAdmin() {
	v, err := newExample(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	authorize := func(r *http.Request) (vaulthttp.Actor, error) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(token), []byte("the administrator's token")) != 1 {
			return vaulthttp.Actor{}, errors.New("not the administrator's token")
		}
		return vaulthttp.Actor{Name: "ada@example.com", Scopes: []string{"acme"}}, nil
	}
	mux := http.NewServeMux()
	mux.Handle("/runners/", vaulthttp.Runners(v, nil))
	mux.Handle("/v1/", vaulthttp.Admin(v, authorize, nil))
	mux.Handle("/healthz", vaulthttp.Health())
	mux.Handle("/readyz", vaulthttp.Ready(v))

	r := httptest.NewRequest("PUT", "/v1/secrets/ANTHROPIC_API_KEY?scope=acme/web", strings.NewReader(`{"value":"sk-ant-0123456789abcdefghijklmnopqr"}`))
	r.Header.Set("Authorization", "Bearer the administrator's token")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(vaulthttp.AdminHeader, "1")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("ETag"))
	// Output: 200 "1"
}
