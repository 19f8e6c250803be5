package providers_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

func TestPlatform_Response(t *testing.T) {
	t.Run("rejects a 200 without a valid bundle", func(t *testing.T) {
		const smallest = `{"version":1,"revision":"r","secrets":[]}`
		for name, row := range map[string]struct {
			handler http.HandlerFunc
			reason  string
			why     string
		}{
			"a login page":    {remotetest.Respond("text/html; charset=utf-8", "<html>canary"), "not-json", "the response is not a platform's"},
			"no type":         {remotetest.Respond("", smallest), "not-json", "the response is not a platform's"},
			"a broken type":   {remotetest.Respond("application/json; =canary", smallest), "not-json", "the response is not a platform's"},
			"another JSON":    {remotetest.Respond("application/problem+json", smallest), "not-json", "the response is not a platform's"},
			"nothing":         {remotetest.Respond("application/json", ""), "malformed-answer", "at or after byte 0"},
			"garbage":         {remotetest.Respond("application/json", "canary"), "malformed-answer", "not the JSON of a bundle"},
			"trailing data":   {remotetest.Respond("application/json", smallest+`"canary"`), "malformed-answer", "after the bundle"},
			"a later version": {remotetest.Respond("application/json", `{"version":2,"revision":"r","secrets":[]}`), "malformed-answer", "protocol version 2"},
			"a bad secret":    {remotetest.Respond("application/json", `{"version":1,"revision":"r","secrets":[{"name":"A","value":"canary\u0000"}]}`), "malformed-answer", `secret "A"`},
			"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, smallest)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}, "answer-cut", "check the network"},
			"half an answer in chunks": {func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, smallest)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}, "answer-cut", "check the network"},
			"no gzip": {func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = io.WriteString(w, "canary canary")
			}, "answer-cut", "check the network"},
			"one byte too many": {remotetest.Respond("application/json", strings.Repeat(" ", wire.MaxAnswer-len(smallest)+1)+smallest), "answer-too-large", "at most 16777216 bytes"},
		} {
			t.Run(name, func(t *testing.T) {
				server := httptest.NewUnstartedServer(row.handler)
				server.Config.ErrorLog = log.New(io.Discard, "", 0)
				server.StartTLS()
				t.Cleanup(server.Close)
				got, err := runnerOf(server).Fetch(t.Context(), nil)
				require.Nil(t, got)
				status := requireStatus(t, err, bundle.FetchUnavailable, 200)
				require.Equal(t, row.reason, status.Reason)
				require.ErrorContains(t, err, row.why)
				require.NotContains(t, err.Error(), "canary")
			})
		}
	})

	t.Run("accepts the largest body", func(t *testing.T) {
		const smallest = `{"version":1,"revision":"r","secrets":[]}`
		b := runnerOf(remotetest.Listen(t, remotetest.Respond("application/json; charset=utf-8", strings.Repeat(" ", wire.MaxAnswer-len(smallest))+smallest)))
		_, err := b.Fetch(t.Context(), nil)
		require.NoError(t, err)
	})

	t.Run("accepts gzip", func(t *testing.T) {
		b := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				w.WriteHeader(http.StatusNotAcceptable)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, `{"version":1,"revision":"r","secrets":[{"name":"A","value":"x"}]}`)
			_ = z.Close()
		}))
		got, err := b.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, 1, got.Len())
	})

	t.Run("bounds the memory for a body of 30 MB", func(t *testing.T) {
		var small bytes.Buffer // 32 MiB, compressed
		z := gzip.NewWriter(&small)
		zeros := make([]byte, 1<<20)
		for range 32 {
			_, _ = z.Write(zeros)
		}
		_ = z.Close()

		for name, handler := range map[string]http.HandlerFunc{
			"of a known length": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Length", strconv.Itoa(30<<20))
				for range 30 {
					_, _ = w.Write(zeros)
				}
			},
			"in chunks": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				for range 30 {
					_, _ = w.Write(zeros)
				}
			},
			"from a little gzip": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(small.Bytes())
			},
		} {
			t.Run(name, func(t *testing.T) {
				b := runnerOf(remotetest.Listen(t, handler))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := b.Fetch(t.Context(), nil)
				runtime.ReadMemStats(&after)
				require.Equal(t, "answer-too-large", requireStatus(t, err, bundle.FetchUnavailable, 200).Reason)
				// The total includes the growth of the buffer.
				require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(6*wire.MaxAnswer), "reading stops at the limit")
			})
		}
	})

	t.Run("ends after Timeout", func(t *testing.T) {
		for name, row := range map[string]struct {
			handler http.HandlerFunc
			want    string
		}{
			"no header": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "GET http://localhost/api/runners/bootstrap: no response in time; check the URL"},
			"a trickle": {trickle, "status 200 OK, answer-too-slow; check the network, or raise Timeout"},
			"no redirect": {func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(9 * time.Second)
				http.Redirect(w, r, "/", http.StatusFound)
			}, "no response in time"},
		} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, row.handler, func(t *testing.T, b *providers.Platform) {
					start := time.Now()
					_, err := b.Fetch(t.Context(), nil)
					remotetest.RequireKind(t, err, bundle.FetchUnavailable)
					require.ErrorContains(t, err, row.want)
					require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")
					require.Equal(t, 30*time.Second, time.Since(start), "the default")

					b.Timeout = 5 * time.Second
					start = time.Now()
					_, err = b.Fetch(t.Context(), nil)
					require.Error(t, err)
					require.Equal(t, 5*time.Second, time.Since(start))
				})
			})
		}
	})

	t.Run("is not quoted if it is not HTTP", func(t *testing.T) {
		_, give := newToken()
		for name, row := range map[string]struct{ response, want string }{
			"nothing":         {"", "the connection was closed without a response"},
			"garbage":         {"canary canary canary\r\n\r\n", "invalid HTTP response"},
			"a status":        {"HTTP/1.1 canary canary\r\n\r\n", "invalid HTTP response"},
			"a header":        {"HTTP/1.1 200 OK\r\ncanary\r\n\r\n", "invalid HTTP response"},
			"a long header":   {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("canary", 20_000) + "\r\n\r\n", "invalid HTTP response"},
			"a status line":   {"HTTP/1.1 503 canary canary\r\nContent-Length: 0\r\n\r\n", "status 503 Service Unavailable; try again later"},
			"a custom status": {"HTTP/1.1 599 canary canary\r\nContent-Length: 0\r\n\r\n", "status 599; try again later"},
			"another length":  {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: canary\r\n\r\n", "invalid HTTP response"},
			"a chunk":         {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n", "answer-cut"},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := (&providers.Platform{URL: raw(t, row.response), Token: give}).Fetch(t.Context(), nil)
				remotetest.RequireKind(t, err, bundle.FetchUnavailable)
				require.ErrorContains(t, err, row.want)
				require.NotContains(t, err.Error(), "canary")
			})
		}
	})

	// Package net/http logs unsolicited data on idle connections, such as data after
	// the Content-Length.
	t.Run("does not log data after the body", func(t *testing.T) {
		logged := remotetest.CaptureLogs(t)
		handler := func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer connection.Close()
			const body = `{"version":1,"revision":"r","secrets":[]}`
			_, _ = fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%scanary", len(body), body)
		}
		inBubble(t, handler, func(t *testing.T, b *providers.Platform) {
			_, err := b.Fetch(t.Context(), nil)
			require.NoError(t, err)
		})
		require.Empty(t, logged.String())
	})
}

// certificate returns a self-signed certificate for 127.0.0.1 and a client that
// trusts it.
func certificate(t *testing.T, from, until time.Time) (tls.Certificate, *http.Client) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "canary"}, NotBefore: from, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

func TestPlatform_Connection(t *testing.T) {
	t.Run("sends no token to an untrusted server", func(t *testing.T) {
		touched := func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }
		_, give := newToken()
		fetch := func(url string, client *http.Client) error {
			_, err := (&providers.Platform{URL: url, Token: give, Client: client}).Fetch(t.Context(), nil)
			remotetest.RequireKind(t, err, bundle.FetchUnavailable)
			require.NotContains(t, err.Error(), "canary")
			return err
		}
		server := remotetest.ListenTLS(t, nil, touched)
		require.ErrorContains(t, fetch(server.URL, nil), "from an authority that this system does not trust; add the authority's certificate")
		require.ErrorContains(t, fetch(strings.Replace(server.URL, "127.0.0.1", "localhost", 1), server.Client()), "certificate is for another host; check the URL")

		now := time.Now()
		expired, client := certificate(t, now.Add(-2*time.Hour), now.Add(-time.Hour))
		require.ErrorContains(t, fetch(remotetest.ListenTLS(t, &tls.Config{Certificates: []tls.Certificate{expired}}, touched).URL, client), "has expired or is not valid yet; check the clock")

		valid, client := certificate(t, now.Add(-time.Hour), now.Add(time.Hour))
		old := remotetest.ListenTLS(t, &tls.Config{Certificates: []tls.Certificate{valid}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, touched)
		err := fetch(old.URL, client)
		require.ErrorContains(t, err, "protocol version not supported; check which TLS versions")
		require.ErrorContains(t, fetch(old.URL, nil), "protocol version not supported", "the default client does not use old TLS either")

		plain := httptest.NewServer(http.HandlerFunc(touched))
		t.Cleanup(plain.Close)
		require.ErrorContains(t, fetch(strings.Replace(plain.URL, "http", "https", 1), nil), "the server speaks plain HTTP on this port; check the scheme")
	})

	t.Run("classes an unreachable platform as unavailable", func(t *testing.T) {
		_, give := newToken()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		url := "http://" + l.Addr().String()
		require.NoError(t, l.Close())
		_, err = (&providers.Platform{URL: url, Token: give}).Fetch(t.Context(), nil)
		remotetest.RequireKind(t, err, bundle.FetchUnavailable)
		require.EqualError(t, err, "GET "+url+"/runners/bootstrap: connection refused; check the URL, the network, and HTTPS_PROXY and NO_PROXY if there is a proxy")

		for want, cause := range map[string]error{
			"the host's name cannot be resolved": &net.OpError{Op: "dial", Err: &net.DNSError{Err: "canary", Name: "canary"}},
			"the proxy cannot be reached":        &net.OpError{Op: "proxyconnect", Err: errors.New("canary")},
			"no response in time":                &net.OpError{Op: "dial", Err: &net.DNSError{Err: "canary", IsTimeout: true}},
			"invalid HTTP response":              errors.New(`invalid proxy address "http://user:canary@proxy"`),
		} {
			if _, ok := errors.AsType[*net.DNSError](cause); ok {
				want = "the host's name cannot be resolved"
			}
			b := &providers.Platform{URL: "https://satchel.example.com", Token: give, Client: &http.Client{
				Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, cause }},
			}}
			_, err := b.Fetch(t.Context(), nil)
			remotetest.RequireKind(t, err, bundle.FetchUnavailable)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "canary")
		}
	})

	t.Run("is used once", func(t *testing.T) {
		states := make(chan http.ConnState, 100)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeAnswer(w, "r", "x") }))
		server.Config.ConnState = func(_ net.Conn, s http.ConnState) { states <- s }
		server.Start()
		t.Cleanup(server.Close)
		_, give := newToken()
		_, err := (&providers.Platform{URL: server.URL, Token: give}).Fetch(t.Context(), nil)
		require.NoError(t, err)
		for s := range states {
			require.NotEqual(t, http.StateIdle, s, "a connection is used once")
			if s == http.StateClosed {
				return
			}
		}
	})
}

// raw serves bytes on loopback, which may not be HTTP.
func raw(t *testing.T, response string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, response)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}
