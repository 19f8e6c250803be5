package vaulthttp_test

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// requireSound fails the test unless the response to an arbitrary request matches
// the description and is not a server error.
func requireSound(t testing.TB, r *http.Request, got *reply) {
	t.Helper()
	require.Less(t, got.status, 500, "invalid input is not a server error: %s %q: %s", r.Method, r.URL, got.body)
	requireDescribed(t, r.Method, r.URL.Path, got)
	if got.status >= 400 {
		require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
		require.Less(t, len(got.body), 4096, "a refusal is short")
	}
	require.NotContains(t, string(got.body), "goroutine ", "no stack")
}

// FuzzAdmin_Request sends raw requests: methods, paths, queries, headers and bodies.
func FuzzAdmin_Request(f *testing.F) {
	a, tokens := leaky(f, nil)
	id := tokenID(f, bundle.NewValue(tokens[0]))
	for _, route := range vaulthttp.AdminRoutes() {
		target := strings.NewReplacer("{admin}", "ada", "{name}", "A", "{id}", id).Replace(route.Path)
		if route.Required != "" {
			target += "?" + route.Required + "=acme"
		}
		body := ""
		if route.Method == "PUT" || route.Method == "POST" {
			body = `{"value":"x","version":1}`
		}
		f.Add([]byte(route.Method + " " + target + " HTTP/1.1\r\nHost: x\r\nSatchel-Admin: 1\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n" + body))
	}
	for _, raw := range []string{
		"GET /v1/secrets/%2e%2e?scope=acme HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/secrets?scope=acme%252Fweb&scope= HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/audit?tenant=acme&before=1&limit=0 HTTP/1.1\r\nHost: x\r\n\r\n",
		"PUT /v1/secrets/A?scope=acme HTTP/1.1\r\nHost: x\r\nSatchel-Admin: 1\r\nContent-Type: application/json;charset=\"utf-8\"\r\nIf-Match: \"1\"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"val\r\n0\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://user:pass@x/v1/secrets?scope=acme HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			t.Skip("net/http refuses this itself")
		}
		got := serve(a.handler, r.WithContext(t.Context()))
		requireSound(t, r, got)
		requireNoLeak(t, string(got.body), r.URL.String())
	})
}

// FuzzAdmin_Body sends bodies to each route that takes one.
func FuzzAdmin_Body(f *testing.F) {
	var targets [][2]string
	for _, route := range vaulthttp.AdminRoutes() {
		if route.Method != "PUT" && route.Method != "POST" {
			continue
		}
		target := strings.NewReplacer("{admin}", "ada", "{name}", "A").Replace(route.Path)
		if route.Required != "" {
			target += "?" + route.Required + "=acme"
		}
		targets = append(targets, [2]string{route.Method, target})
		for member := range memberNames(route.Method + " " + route.Path) {
			f.Add(uint(len(targets)-1), []byte(`{"`+member+`":"x"}`))
			f.Add(uint(len(targets)-1), []byte(`{"`+member+`":1}`))
		}
	}
	f.Add(uint(0), []byte(`{"value":"\ud83d\ude00","kind":"custom","expires_at":"2099-01-01T00:00:00Z","delivery":"file","allow_trailing_newline":true}`))
	f.Add(uint(0), []byte("{\"value\":\"\xff\ufffd\"}"))
	f.Add(uint(0), []byte(`{"value":`+strings.Repeat("[", 20_000)))
	f.Add(uint(2), []byte(`null`))
	f.Fuzz(func(t *testing.T, which uint, body []byte) {
		a := newAdmin(t)
		token, id := a.MustIssue(t, "acme"), tokenID(t, a.MustIssue(t, "acme"))
		target := targets[which%uint(len(targets))]
		r, err := http.NewRequestWithContext(t.Context(), target[0], strings.ReplaceAll(target[1], "{id}", id), bytes.NewReader(body))
		require.NoError(t, err)
		r.Header.Set(vaulthttp.AdminHeader, "1")
		r.Header.Set("Content-Type", "application/json")
		requireSound(t, r, serve(a.handler, r))
		// Every accepted write can be delivered.
		require.NotNil(t, a.Bundle(t, token))
	})
}

// memberNames returns the members that the body of an operation may have.
func memberNames(operation string) object {
	d := described()
	method, path, _ := strings.Cut(operation, " ")
	op, _, _ := d.find(method, path)
	properties, _ := d.at(op.content, "requestBody", "content", "application/json", "schema", "properties").(object)
	return properties
}

// FuzzRunners_Request sends raw requests to the handler for runners.
func FuzzRunners_Request(f *testing.F) {
	a, tokens := leaky(f, nil)
	unlimited := vaulthttp.Limit{PerSecond: -1} // all requests come from one address
	handler := vaulthttp.Runners(a.Vault, &vaulthttp.Options{
		Logger: a.Log.Logger(), TokenLimit: unlimited, AddressLimit: unlimited, FailureLimit: unlimited,
	})
	for _, headers := range []string{
		"Authorization: Bearer " + tokens[0], "Authorization: bearer  " + tokens[0] + " ", "Authorization: Bearer rnt_x", "Authorization: Basic eDp5", "",
		"Authorization: Bearer " + tokens[0] + "\r\nIf-None-Match: \"x\"\r\nSatchel-Runner: ci-7",
		"Authorization: Bearer " + tokens[0] + "\r\nSatchel-Runner: \xff",
	} {
		f.Add([]byte("GET /runners/bootstrap HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n\r\n"))
	}
	f.Add([]byte("POST /runners/bootstrap HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"))
	f.Add([]byte("GET /runners/../runners/bootstrap?token=x HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("GET /runners/bootstrap?x=%72nt_ HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			t.Skip("net/http refuses this itself")
		}
		r.Header.Del("Prefer") // would wait
		got := serve(handler, r.WithContext(t.Context()))
		require.Less(t, got.status, 500, "invalid input is not a server error")
		requireDescribed(t, r.Method, r.URL.Path, got)
		if got.status != 200 {
			requireNoLeak(t, string(got.body), r.URL.String())
		}
	})
}
