package providers_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

// outage is a fault between a runner and its platform.
type outage struct {
	handler http.HandlerFunc
	err     error // of the transport, instead of a response
	// told reports that the platform itself said so: New gives up.
	told bool
}

func pageOf(code int) outage { return outage{handler: remotetest.Plainly(code)} }

func saidBy(code int, problemType, reason string) outage {
	return outage{handler: refuse(code, problemType, reason)}
}

func told(code int, problemType, reason string) outage {
	return outage{handler: refuse(code, problemType, reason), told: true}
}

var outages = map[string]outage{
	"404 of an ingress":          pageOf(404),
	"403 of a gateway":           pageOf(403),
	"401 of a proxy":             pageOf(401),
	"407 of a proxy":             pageOf(407),
	"400 of a firewall":          pageOf(400),
	"410":                        pageOf(410),
	"429 of a proxy":             pageOf(429),
	"500":                        pageOf(500),
	"502":                        pageOf(502),
	"503":                        pageOf(503),
	"504":                        pageOf(504),
	"204":                        {handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }},
	"304 of another revision":    {handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"x"`); w.WriteHeader(304) }},
	"a redirect to a login page": {handler: http.RedirectHandler("https://login.example.com/", http.StatusFound).ServeHTTP},
	"a redirect to itself": {handler: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	}},
	"a page":                   {handler: remotetest.Respond("text/html", "<html>")},
	"other JSON":               {handler: remotetest.Respond("application/json", `{"status":"ok"}`)},
	"a cut bundle":             {handler: remotetest.Respond("application/json", `{"version":1,"revision":"r","secrets":[`)},
	"a bundle of another type": {handler: remotetest.Respond("text/plain", `{"version":1,"revision":"r","secrets":[]}`)},
	"nothing":                  {handler: remotetest.Respond("", "")},
	"503 for an hour, says a proxy": {handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(503)
	}},
	"a page for maintenance for an hour": {handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		remotetest.Respond("text/html", "<html>")(w, r)
	}},
	"a redirect to such a page": {handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		http.Redirect(w, r, "https://status.example.com/", http.StatusFound)
	}},
	"a problem of a gateway":           saidBy(401, "about:blank", "revoked"),
	"another problem of a gateway":     saidBy(403, "https://gateway.example.com/problems/denied", ""),
	"503 of the platform":              saidBy(503, wire.UnavailableProblem, ""),
	"500 of the platform":              saidBy(500, wire.IntegrityProblem, ""),
	"429 of the platform":              saidBy(429, wire.TooManyProblem, "failures"),
	"a closed connection":              {handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	"a connection without an answer":   {handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	"connection refused":               {err: syscall.ECONNREFUSED},
	"an untrusted certificate":         {err: x509.UnknownAuthorityError{}},
	"a failed TLS handshake":           {err: errors.New("tls: handshake failure")},
	"a token that is unknown":          told(401, wire.TokenProblem, "unknown"),
	"a proxy that removes the token":   told(401, wire.TokenProblem, "missing"),
	"a proxy that modifies the token":  told(401, wire.TokenProblem, "malformed"),
	"a proxy without TLS":              told(403, wire.NotAllowedProblem, ""),
	"a proxy that modifies the path":   told(404, wire.RequestProblem, ""),
	"a proxy that modifies the header": told(400, wire.RequestProblem, ""),
}

// network is a platform with one secret, behind faults.
type network struct {
	revision, value atomic.Pointer[string]
	fault           atomic.Pointer[outage]
	deaf            atomic.Bool // polls get no answer
}

func (n *network) set(revision, value string) {
	n.revision.Store(&revision)
	n.value.Store(&value)
}

func (n *network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fault := n.fault.Load(); fault != nil {
		fault.handler(w, r)
		return
	}
	for range wire.Wait(r.Header.Values("Prefer")) / time.Second {
		if r.Context().Err() != nil {
			return
		}
		if wire.Revision(r.Header.Get("If-None-Match")) != *n.revision.Load() && !n.deaf.Load() {
			break
		}
		if n.fault.Load() != nil {
			panic(http.ErrAbortHandler)
		}
		time.Sleep(time.Second)
	}
	if wire.Revision(r.Header.Get("If-None-Match")) == *n.revision.Load() {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if n.deaf.Load() {
		<-r.Context().Done()
		return
	}
	writeAnswer(w, *n.revision.Load(), *n.value.Load())
}

// inNetwork runs test in a bubble with a runner's provider for the network.
func inNetwork(t *testing.T, test func(t *testing.T, n *network, p *providers.Platform)) {
	t.Helper()
	n := &network{}
	n.set("rev-1", "old")
	inBubble(t, n.ServeHTTP, func(t *testing.T, p *providers.Platform) {
		inner := p.Client.Transport
		p.Client = &http.Client{Transport: remotetest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			if fault := n.fault.Load(); fault != nil && fault.err != nil {
				return nil, fault.err
			}
			return inner.RoundTrip(r)
		})}
		test(t, n, p)
	})
}

// start returns a client that runs until the end of the test.
func start(t *testing.T, p *providers.Platform) *satchel.Client {
	t.Helper()
	c, err := satchel.New(t.Context(), []bundle.Provider{p}, &satchel.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return c
}

func requireValue(t *testing.T, c *satchel.Client, want string) {
	t.Helper()
	a, ok := c.Bundle().Get("A")
	require.True(t, ok, "the bundle has the secret; %s", c.Status())
	require.Equal(t, want, a.Value.Reveal(), "%s", c.Status())
}

func TestPlatform_Recovery(t *testing.T) {
	t.Run("comes within a minute of the end of any fault", func(t *testing.T) {
		for about, fault := range outages {
			for _, lasts := range []time.Duration{8 * time.Second, 10 * time.Minute, time.Hour} {
				if fault.told && lasts > 10*time.Minute && about != "a token that is unknown" {
					continue // after 15 minutes, an error that needs a fix is retried once per interval
				}
				for _, refresh := range []bool{false, true} { // or else only polls notice
					t.Run(fmt.Sprintf("%s for %s, refresh is %t", about, lasts, refresh), func(t *testing.T) {
						inNetwork(t, func(t *testing.T, n *network, p *providers.Platform) {
							c := start(t, p)
							time.Sleep(time.Minute)
							n.fault.Store(&fault)
							time.Sleep(2 * time.Second) // the poll under way ends
							n.set("rev-2", "new")
							if refresh {
								_, err := c.Refresh(t.Context())
								require.Error(t, err)
							}
							time.Sleep(lasts)
							if lasts < 15*time.Minute || !fault.told {
								requireValue(t, c, "old")
							}
							n.fault.Store(nil)
							time.Sleep(time.Minute)
							requireValue(t, c, "new")
							require.Equal(t, satchel.Fresh, c.Status().State, "%s", c.Status())
							n.set("rev-3", "newer")
							time.Sleep(5 * time.Second)
							requireValue(t, c, "newer") // polls are back too
						})
					})
				}
			}
		}
	})

	t.Run("comes within a minute if connections are lost without notice", func(t *testing.T) {
		inNetwork(t, func(t *testing.T, n *network, p *providers.Platform) {
			c := start(t, p)
			for i, at := range []time.Duration{0, time.Second, 20 * time.Second, 49 * time.Second} {
				time.Sleep(time.Minute + at)
				value := string(rune('a' + i))
				n.deaf.Store(true)
				n.set("rev-"+value, value)
				time.Sleep(1500 * time.Millisecond) // the polls under way never get an answer
				n.deaf.Store(false)
				time.Sleep(time.Minute)
				requireValue(t, c, value)
			}
		})
	})
}

func TestPlatform_FirstFetch(t *testing.T) {
	newClient := func(t *testing.T, p *providers.Platform) (*satchel.Client, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		return satchel.New(ctx, []bundle.Provider{p}, &satchel.Options{Logger: slog.New(slog.DiscardHandler)})
	}
	t.Run("is repeated until the fault ends", func(t *testing.T) {
		for about, fault := range outages {
			t.Run(about, func(t *testing.T) {
				inNetwork(t, func(t *testing.T, n *network, p *providers.Platform) {
					n.fault.Store(&fault)
					time.AfterFunc(time.Minute, func() { n.fault.Store(nil) })
					begin := time.Now()
					c, err := newClient(t, p)
					if fault.told {
						require.Error(t, err, "the platform itself has answered")
						require.Zero(t, time.Since(begin))
						time.Sleep(time.Minute)
						return
					}
					require.NoError(t, err)
					requireValue(t, c, "old")
				})
			})
		}
	})
}

func TestPlatform_UnknownToken(t *testing.T) {
	unknown := outages["a token that is unknown"]
	t.Run("keeps the secrets for 15 minutes", func(t *testing.T) {
		inNetwork(t, func(t *testing.T, n *network, p *providers.Platform) {
			c := start(t, p)
			n.fault.Store(&unknown)
			_, err := c.Refresh(t.Context())
			remotetest.RequireKind(t, err, bundle.FetchRevoked)
			require.Equal(t, satchel.Stale, c.Status().State)
			time.Sleep(15*time.Minute - time.Second)
			requireValue(t, c, "old")
			time.Sleep(time.Minute + time.Second)
			require.Zero(t, c.Bundle().Len(), "the platform has not known the token for long")
			require.Equal(t, satchel.Revoked, c.Status().State)

			n.fault.Store(nil)
			time.Sleep(time.Minute)
			requireValue(t, c, "old")
		})
	})

	t.Run("of a platform that is then away keeps the secrets", func(t *testing.T) {
		inNetwork(t, func(t *testing.T, n *network, p *providers.Platform) {
			c := start(t, p)
			n.fault.Store(&unknown)
			_, _ = c.Refresh(t.Context())
			away := pageOf(503)
			n.fault.Store(&away)
			time.Sleep(time.Hour)
			requireValue(t, c, "old")
			require.Equal(t, satchel.Stale, c.Status().State)
		})
	})

	t.Run("and a revoked one loses them immediately", func(t *testing.T) {
		for _, reason := range []string{"revoked", "expired"} {
			inNetwork(t, func(t *testing.T, n *network, p *providers.Platform) {
				c := start(t, p)
				revoked := told(401, wire.TokenProblem, reason)
				n.fault.Store(&revoked)
				synctest.Wait()
				time.Sleep(2 * time.Second)
				_, _ = c.Refresh(t.Context())
				require.Zero(t, c.Bundle().Len())
			})
		}
	})
}
