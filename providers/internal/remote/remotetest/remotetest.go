// Package remotetest has what the tests of the providers that speak HTTP share:
// servers, clients, and what holds for every error and every check.
package remotetest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// Listen serves on loopback, over TLS.
func Listen(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return server
}

// ListenTLS serves with a TLS configuration, and logs nothing.
func ListenTLS(t *testing.T, config *tls.Config, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = config
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// Respond answers 200 with a body.
func Respond(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil // no guess
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		_, _ = io.WriteString(w, body)
	}
}

// Plainly answers with a status and a page.
func Plainly(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "canary-page", status)
	}
}

// Give returns a function that hands out a value.
func Give(value string) func(context.Context) (bundle.Value, error) {
	return func(context.Context) (bundle.Value, error) { return bundle.NewValue(value), nil }
}

// RefuseDial is a client that must not be used.
func RefuseDial(t *testing.T) *http.Client {
	return &http.Client{Transport: RoundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("something was sent")
		return nil, errors.New("nothing should be sent")
	})}
}

// RoundTrip is a transport.
type RoundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f RoundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// RequireKind fails if err does not say to go on as kind.
func RequireKind(t *testing.T, err error, kind bundle.FetchKind) {
	t.Helper()
	failure, ok := errors.AsType[*bundle.FetchError](err)
	require.True(t, ok, "a failed fetch is a FetchError: %v", err)
	require.Equal(t, kind.String(), failure.Kind.String(), "%v", err)
}

// RequireStatus returns the StatusError in err, which has that kind, method and
// status.
func RequireStatus(t *testing.T, method string, err error, kind bundle.FetchKind, code int) *remote.StatusError {
	t.Helper()
	failure, ok := errors.AsType[*bundle.FetchError](err)
	require.True(t, ok, "a failed fetch is a FetchError: %v", err)
	require.Equal(t, kind.String(), failure.Kind.String(), "%v", err)
	status, ok := errors.AsType[*remote.StatusError](err)
	require.True(t, ok, "an answer that is no bundle is a StatusError: %v", err)
	require.Equal(t, code, status.StatusCode)
	require.Equal(t, method, status.Method)
	require.Equal(t, failure.RetryAfter, status.RetryAfter, "both tell how long to wait")
	return status
}

// OnlySecret returns the secret of a bundle that has one.
func OnlySecret(t *testing.T, b *bundle.Bundle) bundle.Secret {
	t.Helper()
	require.Equal(t, 1, b.Len())
	for s := range b.All() {
		return s
	}
	return bundle.Secret{}
}

// Summary returns an item a line: its status and its name.
func Summary(items []bundle.CheckItem) string {
	var lines []string
	for _, item := range items {
		lines = append(lines, item.Status.String()+" "+item.Name)
	}
	return strings.Join(lines, "\n")
}

// Item returns the one with that name.
func Item(t *testing.T, items []bundle.CheckItem, name string) bundle.CheckItem {
	t.Helper()
	for _, item := range items {
		if item.Name == name {
			return item
		}
	}
	require.Fail(t, "no such item", "%s is not among\n%s", name, Summary(items))
	return bundle.CheckItem{}
}

// RequireFixes checks what holds for every report.
func RequireFixes(t *testing.T, items []bundle.CheckItem) {
	t.Helper()
	for _, item := range items {
		require.NotEmpty(t, item.Name)
		require.NotEmpty(t, item.Detail, "%s says what was found", item.Name)
		if item.Status == bundle.CheckOK {
			require.Empty(t, item.Fix, "%s needs no fix", item.Name)
		} else {
			require.NotEmpty(t, item.Fix, "%s says what to do", item.Name)
		}
	}
}

// Everything returns all that can be printed of an error and its causes.
func Everything(err error) string {
	var out strings.Builder
	var walk func(err error)
	walk = func(err error) {
		if err == nil {
			return
		}
		fmt.Fprintf(&out, "%v\n%+v\n%#v\n%q\n", err, err, err, err)
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		}
		if e, ok := errors.AsType[*remote.StatusError](err); ok {
			fmt.Fprintf(&out, "%+v\n", *e)
		}
	}
	walk(err)
	return out.String()
}
