package vault_test

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/satchelhq/satchel/vault"
)

// A platform serves runners, administrators and whoever watches the process.
func ExampleNewAdminHandler() {
	v, err := newExample(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	authorize := func(r *http.Request) (vault.Actor, error) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(token), []byte("the administrator's token")) != 1 {
			return vault.Actor{}, errors.New("not the administrator's token")
		}
		return vault.Actor{Name: "ada@example.com", Scopes: []string{"acme"}}, nil
	}
	mux := http.NewServeMux()
	mux.Handle("/runners/", vault.NewHandler(v, nil))
	mux.Handle("/v1/", vault.NewAdminHandler(v, authorize, nil))
	mux.Handle("/healthz", vault.HealthHandler())
	mux.Handle("/readyz", vault.ReadyHandler(v))

	r := httptest.NewRequest("PUT", "/v1/secrets/ANTHROPIC_API_KEY?scope=acme/web", strings.NewReader(`{"value":"sk-ant-0123456789abcdefghijklmnopqr"}`))
	r.Header.Set("Authorization", "Bearer the administrator's token")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(vault.AdminHeader, "1")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("ETag"))
	// Output: 200 "1"
}
