// Package remotetest has helpers for the tests of providers that use HTTP:
// servers, clients, and assertions on errors and checks.
package remotetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers/internal/remote"
)

// Listen starts a TLS server on loopback that ends with the test.
func Listen(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return server
}

// ListenTLS starts a server with a TLS configuration, which may be nil. It logs
// nothing and ends with the test.
func ListenTLS(t *testing.T, config *tls.Config, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = config
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// Respond sends a 200 response with a body. An empty contentType sends no header.
func Respond(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil // no detection
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		_, _ = io.WriteString(w, body)
	}
}

// Plainly sends a status and a text page that contains "canary".
func Plainly(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "canary-page", status)
	}
}

// Give returns a function that returns value.
func Give(value string) func(context.Context) (bundle.Value, error) {
	return func(context.Context) (bundle.Value, error) { return bundle.NewValue(value), nil }
}

// RefuseDial returns a client that fails the test if it is used.
func RefuseDial(t *testing.T) *http.Client {
	return &http.Client{Transport: RoundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return nil, errors.New("no request expected")
	})}
}

// RoundTrip is a function as a transport.
type RoundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f RoundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// RequireKind requires that err is a [*bundle.FetchError] of a kind.
func RequireKind(t *testing.T, err error, kind bundle.FetchKind) {
	t.Helper()
	failure, ok := errors.AsType[*bundle.FetchError](err)
	require.True(t, ok, "the error is a FetchError: %v", err)
	require.Equal(t, kind.String(), failure.Kind.String(), "%v", err)
}

// RequireStatus requires that err has a kind, method and status, and returns its
// StatusError.
func RequireStatus(t *testing.T, method string, err error, kind bundle.FetchKind, code int) *remote.StatusError {
	t.Helper()
	failure, ok := errors.AsType[*bundle.FetchError](err)
	require.True(t, ok, "the error is a FetchError: %v", err)
	require.Equal(t, kind.String(), failure.Kind.String(), "%v", err)
	status, ok := errors.AsType[*remote.StatusError](err)
	require.True(t, ok, "the error has a StatusError: %v", err)
	require.Equal(t, code, status.StatusCode)
	require.Equal(t, method, status.Method)
	require.Equal(t, failure.RetryAfter, status.RetryAfter, "both have the same RetryAfter")
	return status
}

// OnlySecret returns the secret of b, which must have exactly one.
func OnlySecret(t *testing.T, b *bundle.Bundle) bundle.Secret {
	t.Helper()
	require.Equal(t, 1, b.Len())
	for s := range b.All() {
		return s
	}
	return bundle.Secret{}
}

// Summary returns one line per item: its status and its name.
func Summary(items []bundle.CheckItem) string {
	var lines []string
	for _, item := range items {
		lines = append(lines, item.Status.String()+" "+item.Name)
	}
	return strings.Join(lines, "\n")
}

// Item returns the item with a name, which must exist.
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

// RequireFixes requires that every item has a detail, and that exactly the items
// that are not ok have a fix.
func RequireFixes(t *testing.T, items []bundle.CheckItem) {
	t.Helper()
	for _, item := range items {
		require.NotEmpty(t, item.Name)
		require.NotEmpty(t, item.Detail, "%s has a detail", item.Name)
		if item.Status == bundle.CheckOK {
			require.Empty(t, item.Fix, "%s needs no fix", item.Name)
		} else {
			require.NotEmpty(t, item.Fix, "%s has a fix", item.Name)
		}
	}
}

// CaptureLogs redirects the default loggers of packages log and log/slog, with all
// levels, to the returned buffer until the test ends.
func CaptureLogs(t *testing.T) *bytes.Buffer {
	t.Helper()
	var logged bytes.Buffer
	before, beforeSlog := log.Writer(), slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.SetOutput(&logged)
	t.Cleanup(func() {
		slog.SetDefault(beforeSlog)
		log.SetOutput(before)
	})
	return &logged
}

// Printed returns every printed form of a bundle, its metadata and its secrets,
// except the revealed values. b may be nil.
func Printed(b *bundle.Bundle) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%v %+v %+v", b, b, b.Meta())
	for s := range b.All() {
		fmt.Fprintf(&out, "%v %+v", s, s)
	}
	return out.String()
}

// Everything returns every printed form of an error and its causes.
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
