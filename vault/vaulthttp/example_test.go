package vaulthttp_test

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"time"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// newExample returns a vault in memory under a hard-coded key, which is only good
// for examples.
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

// A platform mounts all handlers in its own server.
func Example() {
	v, err := newExample(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	if _, _, err := v.IssueToken(context.Background(), "acme", nil); err != nil { // without it, /readyz responds 503
		log.Fatal(err)
	}
	authorize := func(r *http.Request) (vaulthttp.Actor, error) {
		return vaulthttp.Actor{}, vaulthttp.ErrForbidden // see the example of Admin
	}
	var drain vaulthttp.Drain
	remoteAddr := vaulthttp.TrustedProxies(netip.MustParsePrefix("10.0.0.0/8"))

	mux := http.NewServeMux()
	mux.Handle("/runners/", vaulthttp.Runners(v, &vaulthttp.Options{RemoteAddr: remoteAddr, Drain: &drain}))
	mux.Handle("/admin/", http.StripPrefix("/admin", vaulthttp.Admin(v, authorize, &vaulthttp.AdminOptions{RemoteAddr: remoteAddr})))
	mux.Handle("/healthz", vaulthttp.Health())
	mux.Handle("/readyz", vaulthttp.Ready(v, &drain))

	for _, path := range []string{"/runners/bootstrap", "/admin/v1/secrets?scope=acme", "/healthz", "/readyz"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(w.Code, path)
	}
	// Output:
	// 401 /runners/bootstrap
	// 403 /admin/v1/secrets?scope=acme
	// 200 /healthz
	// 200 /readyz
}

// A platform mounts the handler beside others, here below /api.
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

// Administrators of one tenant authenticate with a token of the platform.
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
	handler := vaulthttp.Admin(v, authorize, nil)

	r := httptest.NewRequest("PUT", "/v1/secrets/ANTHROPIC_API_KEY?scope=acme/web", strings.NewReader(`{"value":"sk-ant-0123456789abcdefghijklmnopqr"}`))
	r.Header.Set("Authorization", "Bearer the administrator's token")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(vaulthttp.AdminHeader, "1")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("ETag"))
	// Output: 200 "1"
}

// A waiting runner does not delay the Shutdown of the server.
func ExampleRunners_shutdown() {
	ctx := context.Background()
	v, err := newExample(ctx)
	if err != nil {
		log.Fatal(err)
	}
	token, _, err := v.IssueToken(ctx, "acme/web", nil)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil) // an http.Server in a program
	runners := vaulthttp.Runners(v, nil)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" { // the second request
			go func() { _ = server.Config.Shutdown(ctx) }()
		}
		runners.ServeHTTP(w, r)
	})
	server.StartTLS()
	defer server.Close()
	poll := func(revision string) *http.Response {
		req, err := http.NewRequest(http.MethodGet, server.URL+"/runners/bootstrap", nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
		req.Header.Set("If-None-Match", revision)
		req.Header.Set("Prefer", "wait=50")
		res, err := server.Client().Do(req)
		if err != nil {
			log.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	revision := poll("").Header.Get("ETag")

	res := poll(revision) // waits until the shutdown
	fmt.Println(res.Status, res.Header.Get("Retry-After"))
	// Output: 503 Service Unavailable 5
}

// Behind a load balancer, a process that shuts down first becomes unready.
func ExampleDrain() {
	ctx := context.Background()
	v, err := newExample(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var drain vaulthttp.Drain
	mux := http.NewServeMux()
	mux.Handle("/runners/", vaulthttp.Runners(v, &vaulthttp.Options{Drain: &drain}))
	mux.Handle("/readyz", vaulthttp.Ready(v, &drain))
	server := httptest.NewTLSServer(mux) // an http.Server in a program
	defer server.Close()

	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	drain.Start(ctx, 10*time.Millisecond) // 10 seconds in a program
	res, err := server.Client().Get(server.URL + "/readyz")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println(res.Status)
	fmt.Println(server.Config.Shutdown(ctx))
	// Output:
	// 503 Service Unavailable
	// <nil>
}

// Behind proxies, the limits apply to the runners' addresses.
func ExampleTrustedProxies() {
	remoteAddr := vaulthttp.TrustedProxies(netip.MustParsePrefix("10.0.0.0/8"))
	r := httptest.NewRequest(http.MethodGet, "/runners/bootstrap", nil)
	r.RemoteAddr = "10.0.0.7:41234" // the proxy's
	r.Header.Set("X-Forwarded-For", "203.0.113.9, 198.51.100.1")
	fmt.Println(remoteAddr(r))
	r.RemoteAddr = "192.0.2.1:41234" // a stranger's
	fmt.Println(remoteAddr(r))
	// Output:
	// 198.51.100.1
	// 192.0.2.1
}
